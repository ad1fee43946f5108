"""Methods that go by the average losses of epochs, with tasks that come and go, against averages taken by hand."""

import pytest
import torch
from torch import Tensor

import equipoise
from equipoise import functional


def step(balancer: equipoise.Balancer, **losses: float) -> dict[str, float]:
    """The weights of a step with these losses."""
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    balance = balancer.backward({task: x.sum() + loss for task, loss in losses.items()})
    return {task: float(weight) for task, weight in balance.weights.items()}


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_average_of_an_epoch_is_over_the_steps_with_a_task():
    balancer = equipoise.DWA()
    for losses in ({"a": 1.0, "b": 4.0}, {"a": 3.0}, {"a": 2.0}, {"a": 2.0, "b": 2.0}):
        step(balancer, **losses)
    balancer.end_epoch()
    for losses in ({"a": 1.0, "b": 1.0}, {"a": 1.0}):
        step(balancer, **losses)
    balancer.end_epoch()
    # Averages of 2 and 3, then of 1 and 1.
    expected = functional.dwa(previous=tensor(1.0, 1.0), before=tensor(2.0, 3.0))
    assert list(step(balancer, a=1.0, b=1.0).values()) == pytest.approx(expected.tolist())


def test_dwa_keeps_both_averages_of_a_task_that_is_absent_for_an_epoch():
    balancer = equipoise.DWA()
    for losses in ({"a": 2.0, "b": 4.0}, {"a": 1.0, "b": 3.0}, {"a": 0.5}):
        step(balancer, **losses)
        balancer.end_epoch()
    expected = functional.dwa(previous=tensor(0.5, 3.0), before=tensor(1.0, 4.0))
    assert list(step(balancer, a=1.0, b=1.0).values()) == pytest.approx(expected.tolist())


def test_the_nadir_is_that_of_the_warm_up_and_stays():
    balancer = equipoise.STCH(mu=0.5, warmup_epochs=2)
    for losses in ({"a": 9.0, "b": 1.0}, {"a": 2.0, "b": 4.0}):
        assert step(balancer, **losses) == pytest.approx({task: 1 / loss for task, loss in losses.items()})
        balancer.end_epoch()
    expected = functional.stch_of_logarithms(tensor(3.0, 1.0), nadir=tensor(2.0, 4.0), mu=0.5).tolist()
    for _ in range(3):
        assert list(step(balancer, a=3.0, b=1.0).values()) == pytest.approx(expected)
        balancer.end_epoch()


def test_a_task_that_joins_after_the_warm_up_takes_its_first_epoch_as_nadir():
    balancer = equipoise.STCH(warmup_epochs=1)
    step(balancer, a=2.0)
    balancer.end_epoch()
    # Until its first epoch ends its loss counts as its nadir.
    expected = functional.stch_of_logarithms(tensor(1.0, 6.0), nadir=tensor(2.0, 6.0))
    assert list(step(balancer, a=1.0, b=6.0).values()) == pytest.approx(expected.tolist())
    step(balancer, b=2.0)
    balancer.end_epoch()
    expected = functional.stch_of_logarithms(tensor(1.0, 1.0), nadir=tensor(2.0, 4.0))
    for _ in range(2):
        assert list(step(balancer, a=1.0, b=1.0).values()) == pytest.approx(expected.tolist())
        balancer.end_epoch()
