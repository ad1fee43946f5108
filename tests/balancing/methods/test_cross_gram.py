"""MoDo and SDMGrad when tasks are absent: who keeps which share, computed by hand from the functions."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

import equipoise
from equipoise import Context, Forward, functional

ROWS = torch.tensor([[1.0, 0.5, 0.0, 0.2], [0.3, 2.0, -0.4, 0.0], [-0.2, 0.1, 1.5, 0.7]], dtype=torch.float64)
TASKS = ("0", "1", "2")


def forward(point: Tensor, rows: Tensor, tasks: Sequence[str] = TASKS) -> Forward:
    return Forward({task: rows[int(task)] @ point for task in tasks})


def solved(name: str, cross: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """The weights of the update and the new shares of tasks that have everything among them."""
    if name == "modo":
        weights = functional.modo(cross, shares, rate=0.1, regularization=0.1)
        return weights, weights
    return functional.sdmgrad(cross, shares, 0.3, steps=20, rate=10.0, momentum=0.5)


def by_number(weights: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([weights[task] for task in sorted(weights)])


@pytest.mark.parametrize("name", ["modo", "sdmgrad"])
def test_a_task_that_is_absent_keeps_its_share(name):
    """Three steps with one batch: all tasks, two of them, all again. The middle step divides only what the two had."""
    balancer = equipoise.create(name, batches=1)
    point = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    gram = ROWS @ ROWS.T
    everyone, pair = [0, 1, 2], [0, 2]

    def weights(present: Sequence[int]) -> Tensor:
        point.grad = None
        losses = forward(point, ROWS, [str(task) for task in present]).losses
        found = by_number(balancer.backward(losses, shared=[point]).weights)
        torch.testing.assert_close(point.grad, ROWS[present].T @ found)
        return found

    expected, shares = solved(name, gram, torch.full((3,), 1 / 3, dtype=torch.float64))
    torch.testing.assert_close(weights(everyone), expected)
    mass = shares[pair].sum()
    assert 0.1 < float(mass) < 0.95
    expected, divided = solved(name, gram[pair][:, pair], shares[pair] / mass)
    # The update of the tasks that are there is a whole one.
    torch.testing.assert_close(weights(pair), expected)
    shares[pair] = mass * divided
    assert float(shares.sum()) == pytest.approx(1)
    expected, _ = solved(name, gram, shares)
    torch.testing.assert_close(weights(everyone), expected)


@pytest.mark.parametrize("name", ["modo", "sdmgrad"])
@pytest.mark.parametrize("missing_in", ["first", "second"])
def test_a_task_that_a_further_batch_misses_keeps_its_share(name, missing_in):
    """The step weighs its own batch; the weights follow from two others, for the tasks that both of them have."""
    balancer = equipoise.create(name)
    point = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    first, second = ROWS * 1.1, ROWS.flip(1) + 0.5 * ROWS
    pair = [0, 2]

    def weights(*tasks_of_further: Sequence[str]) -> Tensor:
        batches = iter(zip((first, second), tasks_of_further, strict=True))
        point.grad = None
        around = Context(further=lambda: forward(point, *next(batches)))
        found = by_number(balancer.backward(forward(point, ROWS).losses, shared=[point], context=around).weights)
        torch.testing.assert_close(point.grad, ROWS.T @ found)
        return found

    cross = first @ second.T
    expected, shares = solved(name, cross, torch.full((3,), 1 / 3, dtype=torch.float64))
    torch.testing.assert_close(weights(TASKS, TASKS), expected)
    part = shares[pair].sum()
    effective, divided = solved(name, cross[pair][:, pair], shares[pair] / part)
    expected = shares.clone()
    expected[pair] = part * effective
    order = (("2", "0"), TASKS) if missing_in == "first" else (TASKS, ("2", "0"))
    torch.testing.assert_close(weights(*order), expected)
    shares[pair] = part * divided
    torch.testing.assert_close(weights(TASKS, TASKS), solved(name, cross, shares)[0])


@pytest.mark.parametrize("name", ["modo", "sdmgrad"])
def test_a_task_that_joins_late_takes_an_even_share(name):
    balancer = equipoise.create(name, batches=1)
    point = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    gram, pair = ROWS @ ROWS.T, [0, 1]
    balancer.backward(forward(point, ROWS, ("0", "1")).losses, shared=[point])
    _, held = solved(name, gram[pair][:, pair], torch.full((2,), 1 / 2, dtype=torch.float64))
    shares = torch.cat([held, torch.tensor([1 / 3], dtype=torch.float64)])
    found = balancer.backward(forward(point, ROWS).losses, shared=[point]).weights
    expected, _ = solved(name, gram, shares / shares.sum())
    torch.testing.assert_close(by_number(found), expected)
