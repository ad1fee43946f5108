"""Methods that remember something of each task, when tasks join late or are absent: what is theirs stays theirs."""

import pytest
import torch
from torch import Tensor

import equipoise
from equipoise import functional

from .problems import linear_step, weights_of

NAMES = ("a", "b", "c")


def rows(seed: int, tasks: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 1 + torch.randn(tasks, 6, dtype=torch.float64, generator=generator)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_cdtt_waits_until_all_tasks_have_been_there_for_ten_steps():
    balancer = equipoise.CDTT(sensitivity=0.8)
    for seed in range(12):
        linear_step(balancer, rows(seed, 2), tasks=NAMES[:2])
    for seed in range(12, 22):
        jacobian = rows(seed)
        found = weights_of(linear_step(balancer, jacobian, tasks=NAMES)[1])
        torch.testing.assert_close(found, functional.edm(jacobian @ jacobian.T))
    jacobian = rows(22)
    found = weights_of(linear_step(balancer, jacobian, tasks=NAMES)[1])
    assert (found - functional.edm(jacobian @ jacobian.T)).abs().max() > 1e-3


def test_excess_mtl_leaves_an_absent_task_its_share():
    balancer = equipoise.ExcessMTL(rate=1.0)
    state = functional.ExcessMTLState.start(rows(0))
    for seed in range(3):
        expected, state = functional.excess_mtl(rows(seed), state, 1.0)
        torch.testing.assert_close(weights_of(linear_step(balancer, rows(seed), tasks=NAMES)[1]), expected)
    # Two tasks alone divide what they have together.
    pair = functional.ExcessMTLState(state.squares[:2], state.baseline[:2], state.logits[:2])
    expected, pair = functional.excess_mtl(rows(3)[:2], pair, 1.0)
    torch.testing.assert_close(weights_of(linear_step(balancer, rows(3)[:2], tasks=NAMES[:2])[1]), expected)
    logits = torch.cat([pair.logits + state.logits[:2].logsumexp(0), state.logits[2:]])
    assert float(logits.logsumexp(0)) == pytest.approx(0, abs=1e-12)
    squares = (*pair.squares, state.squares[2])
    state = functional.ExcessMTLState(squares, torch.cat([pair.baseline, state.baseline[2:]]), logits)
    expected, _ = functional.excess_mtl(rows(4), state, 1.0)
    torch.testing.assert_close(weights_of(linear_step(balancer, rows(4), tasks=NAMES)[1]), expected)


def test_gradnorm_keeps_the_sum_of_the_tasks_that_are_there():
    balancer = equipoise.GradNorm(optimizer="sgd", learning_rate=0.05)
    norms = tensor(1.0, 3.0, 8.0)
    for _ in range(2):
        before = linear_step(balancer, torch.diag(norms), tasks=NAMES)[1].weights
    before = linear_step(balancer, torch.diag(norms)[:2], tasks=NAMES[:2])[1].weights
    after = linear_step(balancer, torch.diag(norms)[:2], tasks=NAMES[:2])[1].weights
    assert abs(float(before["a"] + before["b"]) - 2) > 0.05
    assert float(after["a"]) != pytest.approx(float(before["a"]))
    assert float(after["a"] + after["b"]) == pytest.approx(float(before["a"] + before["b"]))
    everyone = weights_of(linear_step(balancer, torch.diag(norms), tasks=NAMES)[1])
    assert float(everyone.sum()) == pytest.approx(3)


def test_gradnorm_goes_by_the_first_loss_that_is_positive():
    balancer = equipoise.GradNorm(optimizer="sgd", learning_rate=0.05)
    norms, weights, first = tensor(1.0, 1.1), tensor(1.0, 1.0), tensor(0.0, 1.0)
    for losses in (tensor(0.0, 1.0), tensor(2.0, 1.0), tensor(0.5, 1.0), tensor(0.5, 1.0)):
        first = torch.where(first > 0, first, losses)
        found = weights_of(linear_step(balancer, torch.diag(norms), losses)[1])
        torch.testing.assert_close(found, weights)
        forces = functional.gradnorm(losses, first, norms, weights)
        weights = functional.gradnorm_renormalized(weights - 0.05 * forces.gradient)
    assert first.tolist() == [2.0, 1.0]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_every_task_has_moments_and_steps_of_its_own(optimizer):
    """Scales that are trained together move as if each had an optimiser of its own for the steps with its task."""
    balancer = equipoise.IMTLL(optimizer=optimizer, learning_rate=0.1)
    scales = {task: torch.zeros((), dtype=torch.float64, requires_grad=True) for task in NAMES}
    kind = torch.optim.Adam if optimizer == "adam" else torch.optim.SGD
    alone = {task: kind([scale], lr=0.1) for task, scale in scales.items()}
    for number, present in enumerate([("a", "b"), ("a",), ("a", "c"), ("b", "c", "a"), ("c",), ("a", "b", "c")]):
        losses = {task: 0.3 + (number + 1) * (place + 1) / 4 for place, task in enumerate(present)}
        x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        found = balancer.backward({task: x.sum() + loss for task, loss in losses.items()}).weights
        for task, loss in losses.items():
            weight, gradient = functional.imtl_l(tensor(loss)[0], scales[task].detach())
            torch.testing.assert_close(found[task], weight)
            scales[task].grad = gradient
            alone[task].step()


@pytest.mark.parametrize("name", ["uw", "imtl_l"])
@pytest.mark.parametrize("loss", [1e-3, 1e3])
def test_learnt_scales_stay_within_their_bound(name, loss):
    balancer = equipoise.create(name, optimizer="sgd", learning_rate=100.0, bound=0.5)
    for _ in range(3):
        x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        weight = float(balancer.backward({"a": x.sum() + loss}).weights["a"])
    # A large loss lowers its weight, a small one raises it; UW has half of exp(-s).
    half = 0.5 if name == "uw" else 1.0
    assert weight == pytest.approx(half * float(tensor(0.5 if loss < 1 else -0.5).exp()))


def test_famo_learns_once_from_every_step():
    point = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    balancer = equipoise.FAMO()
    balancer.backward({"a": point[0] + 1, "b": point[1] + 3})
    after = {"a": point[0] + 0.5, "b": point[1] + 2.9}
    balancer.after_step(equipoise.Context(again=lambda: equipoise.Forward(after)))
    state = str(balancer.state_dict())
    balancer.after_step()  # there is no further step to learn from
    assert str(balancer.state_dict()) == state


@pytest.mark.parametrize("name", ["nash_mtl", "avgnorm"])
def test_a_zero_gradient_leaves_no_weight_for_the_steps_in_between(name):
    options = {"max_norm": None} if name == "nash_mtl" else {}
    balancer = equipoise.create(name, every=3, **options)
    dead, regular = rows(0), rows(1)
    dead[1] = 0
    assert float(weights_of(linear_step(balancer, dead)[1])[1]) == 0
    # The task has no weight to go on with, so that all are measured anew.
    found = weights_of(linear_step(balancer, regular)[1])
    torch.testing.assert_close(found, getattr(functional, name)(regular @ regular.T))
    assert float(found[1]) > 0
