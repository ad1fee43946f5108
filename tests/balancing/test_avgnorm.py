"""AvgNorm: the consequences of its formula, its options, and the first step of a residual network from scratch."""

import pytest
import torch
from torch import Tensor, nn

import equipoise

from .networks import flat, network, step, task_gradients


def weights_of(rows: Tensor, **options) -> tuple[Tensor, Tensor]:
    """The weights for linear losses with these gradients, and the gradient that arrives."""
    parameter = torch.ones(rows.shape[1], dtype=torch.float64, requires_grad=True)
    losses = {str(number): row @ parameter for number, row in enumerate(rows)}
    balance = equipoise.AvgNorm(**options).backward(losses, shared=[parameter], last_layer=parameter)
    return torch.stack(list(balance.weights.values())), parameter.grad


def rows(tasks: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(tasks, 6, dtype=torch.float64, generator=generator) * 10.0 ** torch.arange(tasks)[:, None]


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_every_contribution_has_the_norm_of_the_sum(tasks):
    gradients = rows(tasks)
    weights, arrived = weights_of(gradients)
    total = gradients.sum(0).norm()
    torch.testing.assert_close(weights * gradients.norm(dim=1), total.expand(tasks))
    torch.testing.assert_close(arrived, weights @ gradients)


def test_one_task_has_weight_one():
    torch.testing.assert_close(weights_of(rows(1))[0], torch.ones(1, dtype=torch.float64))


def test_equal_gradients_have_the_number_of_tasks_as_weights():
    torch.testing.assert_close(weights_of(rows(1).expand(3, -1))[0], torch.full((3,), 3.0, dtype=torch.float64))


def test_orthogonal_gradients_of_one_norm_have_the_root_of_the_number_of_tasks():
    torch.testing.assert_close(
        weights_of(5 * torch.eye(4, dtype=torch.float64))[0], torch.full((4,), 2.0, dtype=torch.float64)
    )


def test_rescaling_a_loss_leaves_the_direction():
    scales = torch.tensor([[1.0], [1e4], [1e-3]], dtype=torch.float64)
    one, other = weights_of(rows(3))[1], weights_of(scales * rows(3))[1]
    torch.testing.assert_close(one / one.norm(), other / other.norm())


def test_cancelling_gradients_make_no_step():
    row = rows(1)
    weights, arrived = weights_of(torch.cat([row, -row]))
    torch.testing.assert_close(weights, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-7)
    torch.testing.assert_close(arrived, torch.zeros(6, dtype=torch.float64), rtol=0, atol=1e-7)


def test_a_task_without_gradient_is_left_out():
    gradients = torch.cat([rows(2), torch.zeros(1, 6, dtype=torch.float64)])
    weights, _ = weights_of(gradients)
    torch.testing.assert_close(weights[:2], weights_of(rows(2))[0])
    assert float(weights[2]) == 0.0


@pytest.mark.parametrize("place", ["last_layer", "features", "shared"])
def test_norms_are_measured_at_the_chosen_place(place):
    net, inputs = network()
    balance = step(equipoise.AvgNorm(measure_at=place), net, inputs)
    features = net.encode(inputs)
    parts = {"last_layer": list(net.last.parameters()), "features": [features], "shared": net.shared()}[place]
    alone = task_gradients(net.losses(features), parts)
    gradients = torch.stack([flat(found, parts) for found in alone.values()])
    expected = gradients.sum(0).norm() / gradients.norm(dim=1)
    torch.testing.assert_close(torch.stack(list(balance.weights.values())), expected)


def test_heads_receive_their_plain_gradient_when_they_are_not_scaled():
    for place in ("last_layer", "features", "shared"):
        net, inputs = network()
        balance = step(equipoise.AvgNorm(measure_at=place, scale_heads=False), net, inputs)
        losses = net.losses(net.encode(inputs))
        for task, head in net.heads.items():
            plain = torch.autograd.grad(losses[task], list(head.parameters()), retain_graph=True)
            torch.testing.assert_close([parameter.grad for parameter in head.parameters()], list(plain))
        weighted = sum(balance.weights[task] * loss for task, loss in losses.items())
        expected = torch.autograd.grad(weighted, net.shared())
        torch.testing.assert_close([parameter.grad for parameter in net.shared()], list(expected))


def test_between_measurements_the_last_weights_hold():
    net, inputs = network()
    balancer = equipoise.AvgNorm(every=3)
    found = [step(balancer, net, inputs * (1 + number)) for number in range(4)]
    assert [balance.norms is not None for balance in found] == [True, False, False, True]
    assert found[0].weights == found[1].weights == found[2].weights != found[3].weights


def test_a_task_that_comes_late_is_measured_at_once():
    net, inputs = network()
    balancer = equipoise.AvgNorm(every=100)
    step(balancer, net, inputs, ("a", "b"))
    assert step(balancer, net, inputs, ("a", "b")).norms is None
    assert step(balancer, net, inputs).norms is not None


def test_weights_can_be_averaged_over_steps():
    net, inputs = network()
    averaged, plain = equipoise.AvgNorm(ema=0.75), equipoise.AvgNorm()
    one = [step(balancer, net, inputs).weights["a"] for balancer in (averaged, plain)]
    assert one[0] == one[1]
    two = [step(balancer, net, 3 * inputs).weights["a"] for balancer in (averaged, plain)]
    torch.testing.assert_close(two[0], 0.75 * one[1] + 0.25 * two[1])


def test_weights_can_be_limited():
    net, inputs = network()
    free, limited = (step(equipoise.AvgNorm(max_weight=limit), net, inputs).weights for limit in (None, 5.0))
    assert float(free["a"]) > 5.0
    assert limited == {task: weight.clamp(max=5.0) for task, weight in free.items()}


@pytest.mark.parametrize(
    "options",
    [{"every": 0}, {"ema": 1.0}, {"ema": -0.1}, {"max_weight": 0.0}, {"measure_at": "head"}, {"nonfinite": "ignore"}],
)
def test_wrong_options_are_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"`{name}` should"):
        equipoise.AvgNorm(**options)


class Block(nn.Module):
    """A residual block whose last normalisation starts at zero, as in timm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        nn.init.zeros_(self.bn2.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        return (inputs + self.bn2(self.conv2(self.bn1(self.conv1(inputs)).relu()))).relu()


@pytest.mark.parametrize("options", [{}, {"every": 2}, {"ema": 0.9}], ids=str)
def test_a_residual_network_from_scratch_starts_to_move(options):
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Block(8), Block(8))
    heads = nn.ModuleDict({task: nn.Conv2d(8, 1, 1) for task in ("a", "b")})
    optimiser = torch.optim.SGD([*trunk.parameters(), *heads.parameters()], lr=0.02)
    balancer = equipoise.AvgNorm(**options)
    images = torch.randn(4, 3, 8, 8)
    history = []
    for _ in range(6):
        optimiser.zero_grad()
        features = trunk(images)
        losses = {
            "a": (heads["a"](features) - 1).square().mean(),
            "b": 0.1 * (heads["b"](features) + 2).square().mean(),
        }
        history.append(balancer.backward(losses, features=features, last_layer=trunk[-1].conv2))
        optimiser.step()
    assert all(float(norm) == 0.0 for norm in history[0].norms.values())
    assert [float(weight) for weight in history[0].weights.values()] == [1.0, 1.0]
    assert history[1].norms is not None
    assert all(float(norm) > 0.0 for norm in history[1].norms.values())
    assert all(bool(parameter.isfinite().all()) for parameter in trunk.parameters())
    assert all(float(history[-1].losses[task]) < float(history[0].losses[task]) for task in ("a", "b"))
