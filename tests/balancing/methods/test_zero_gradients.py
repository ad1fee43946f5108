"""Zero gradients, zero losses and points without a solution cause no NaN and no standstill."""

import pytest
import torch
from torch import Tensor, nn

import equipoise
from equipoise.balancing import all_methods, hyper_parameters

from .problems import METHODS, create, linear_step, weights_of

# With a zero gradient among them, no step improves all tasks: these stand still, as their papers have it.
STAND_STILL = {"mgda", "edm", "cdtt"}


def rows() -> Tensor:
    return torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(5)) + 1


def floats(state: object) -> list[Tensor]:
    if isinstance(state, dict):
        return [tensor for value in state.values() for tensor in floats(value)]
    return [state] if isinstance(state, Tensor) and state.is_floating_point() else []


@pytest.mark.parametrize("begin", [0, 2], ids=["at once", "later"])
@pytest.mark.parametrize("name", METHODS)
def test_one_zero_gradient(name, begin):
    balancer, unimpressed = create(name), create(name)
    regular, dead = rows(), rows()
    dead[1] = 0
    for _ in range(begin):
        linear_step(balancer, regular)
    for _ in range(3):
        update, balance = linear_step(balancer, dead)
        assert bool(update.isfinite().all())
        if name not in STAND_STILL:
            assert float(update.norm()) > 1e-3
    for _ in range(3):
        update, balance = linear_step(balancer, regular)
        assert bool(update.isfinite().all())
        assert float(update.norm()) > 1e-3
    assert all(bool(tensor.isfinite().all()) for tensor in floats(balancer.state))
    if balance.weights is not None:
        # No task has taken all the weight for ever.
        assert weights_of(balance).abs().max() < 100 * weights_of(linear_step(unimpressed, regular)[1]).abs().max()


@pytest.mark.parametrize("name", METHODS)
def test_all_gradients_zero(name):
    balancer = create(name)
    for _ in range(2):
        update, balance = linear_step(balancer, torch.zeros(3, 6, dtype=torch.float64))
        assert not update.any()
        if balance.weights is not None:
            weights = weights_of(balance)
            assert (weights > 0).all()
            torch.testing.assert_close(weights, weights[:1].expand(3), rtol=1.0, atol=0)
    update, _ = linear_step(balancer, rows())
    assert bool(update.isfinite().all())
    assert float(update.norm()) > 1e-3


class Gated(nn.Module):
    """A residual branch behind a gate that is closed at first, as in a ResNet: its layer has no gradient at all."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch = nn.Linear(4, 5), nn.Linear(5, 5)
        self.gate = nn.Parameter(torch.zeros(5))
        self.heads = nn.ModuleDict({task: nn.Linear(5, 1) for task in "abc"})

    def features(self, inputs: Tensor) -> Tensor:
        stem = self.stem(inputs).tanh()
        return stem + self.gate * self.branch(stem)

    def losses(self, features: Tensor) -> dict[str, Tensor]:
        return {
            task: (head(features) - i).square().mean() + 0.1 for i, (task, head) in enumerate(self.heads.items(), 1)
        }


@pytest.mark.parametrize(
    "name", [name for name in METHODS if hyper_parameters(all_methods()[name]).get("measure_at") is not None]
)
def test_a_last_layer_without_gradient_is_left_behind(name):
    try:
        balancer = create(name, measure_at="last_layer")
    except ValueError:
        pytest.skip("does not look there")
    torch.manual_seed(0)
    net = Gated().double()
    inputs = torch.randn(8, 4, dtype=torch.float64)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(3):
        optimiser.zero_grad()
        features = net.features(inputs)
        balancer.backward(net.losses(features), features=features, last_layer=net.branch)
        assert all(bool(parameter.grad.isfinite().all()) for parameter in net.parameters())
        assert net.stem.weight.grad.any()
        assert all(head.weight.grad.any() for head in net.heads.values())
        optimiser.step()
    assert net.branch.weight.grad.any()


@pytest.mark.parametrize("name", METHODS)
def test_a_head_that_starts_at_zero_starts_to_move(name):
    torch.manual_seed(0)
    net = Gated().double()
    nn.init.zeros_(net.heads["b"].weight)
    features = net.features(torch.randn(8, 4, dtype=torch.float64))
    create(name).backward(net.losses(features), features=features, last_layer=net.stem)
    assert net.heads["b"].weight.grad.any()


@pytest.mark.parametrize("name", ["nash_mtl", "fairgrad"])
def test_opposite_gradients_are_counted(name):
    balancer = equipoise.create(name)
    row = rows()[:1]
    update, _ = linear_step(balancer, torch.cat([row, -2 * row]))
    assert float(update.norm()) <= 1e-7 * float(row.norm())
    assert balancer.state["unsolved"] == 1
    update, _ = linear_step(balancer, rows())
    assert 0.5 < float(update.norm()) <= 1 + 1e-9
    assert balancer.state["unsolved"] == 1


def test_imtl_g_without_solution_takes_edm():
    # With u_3 = (2, 2, 1) / 3 the solution of C y = 1 is y = (3, 3, -3), so that sum_i y_i / n_i = 0 for a third norm
    # of 1/2; rounding decides where exactly.
    unsolved = 0
    for rounding in range(-8, 9):
        jacobian = torch.eye(3, dtype=torch.float64)
        jacobian[2] = torch.tensor([2.0, 2.0, 1.0], dtype=torch.float64) / 6 * (1 + rounding * 2.0**-52)
        balancer = equipoise.create("imtl_g")
        update, _ = linear_step(balancer, jacobian)
        if balancer.state.get("unsolved"):
            unsolved += 1
            torch.testing.assert_close(update, jacobian.T @ equipoise.functional.edm(jacobian @ jacobian.T))
    assert unsolved


@pytest.mark.parametrize("name", METHODS)
def test_a_zero_loss_without_gradient_is_harmless(name):
    balancer = create(name)
    jacobian, losses = rows(), torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)
    jacobian[1] = 0
    for values in (losses, losses, losses + 1):
        update, _ = linear_step(balancer, jacobian if values is losses else rows(), values)
        balancer.end_epoch()
        assert bool(update.isfinite().all())
        assert float(update.norm()) < 1e3
    assert all(bool(tensor.isfinite().all()) for tensor in floats(balancer.state))


@pytest.mark.parametrize("name", ["si", "gls", "stch", "db_mtl"])
def test_a_negative_loss_is_refused_by_logarithms(name):
    with pytest.raises(ValueError, match=r"`losses\['task1'\]` should be positive: .* Found -0.5"):
        linear_step(create(name), rows(), torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64))


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"si", "gls", "stch", "db_mtl"}))
def test_a_negative_loss_leaves_no_trace_of_nan(name):
    balancer = create(name)
    for losses in ([1.0, 1.0, 1.0], [-0.5, 1.0, -2.0], [0.5, 2.0, 1.0]) * 2:
        update, _ = linear_step(balancer, rows(), torch.tensor(losses, dtype=torch.float64))
        balancer.end_epoch()
        assert bool(update.isfinite().all())
    assert all(bool(tensor.isfinite().all()) for tensor in floats(balancer.state))
