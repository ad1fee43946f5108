"""The state of methods: per task, over epochs, in checkpoints, and the same for every run with the same seed."""

import io

import pytest
import torch
from torch import Tensor

import equipoise

from .problems import METHODS, create, linear_step, weights_of

NAMES = ("a", "b", "c")


def jacobians(steps: int, tasks: int = 3, size: int = 6) -> list[Tensor]:
    generator = torch.Generator().manual_seed(9)
    common = torch.randn(size, dtype=torch.float64, generator=generator)
    return [
        common + torch.randn(tasks, size, dtype=torch.float64, generator=generator) * (1 + torch.arange(tasks))[:, None]
        for _ in range(steps)
    ]


def run(balancer: equipoise.Balancer, steps: list[Tensor], begin: int = 0) -> list[Tensor]:
    found = []
    for number in range(begin, len(steps)):
        losses = 1 + torch.arange(len(steps[number]), dtype=torch.float64) / (1 + number)
        found.append(linear_step(balancer, steps[number], losses)[0])
        if number % 4 == 3:
            balancer.end_epoch()
    return found


@pytest.mark.parametrize("options", [{}, {"nonfinite": "skip"}], ids=["", "skip"])
@pytest.mark.parametrize("name", METHODS)
def test_a_checkpoint_in_mid_run_changes_no_bit(name, options):
    steps = jacobians(16)
    expected = run(create(name, **options), steps)
    first, second = create(name, **options), create(name, **options)
    begun = run(first, steps[:8])
    stored = io.BytesIO()
    torch.save(first.state_dict(), stored)
    stored.seek(0)
    second.load_state_dict(torch.load(stored, weights_only=True))
    resumed = run(second, steps, begin=8)
    assert all(torch.equal(x, y) for x, y in zip(expected, begun + resumed, strict=True))


def test_the_state_of_another_method_is_refused():
    with pytest.raises(ValueError, match=r"`state\['method'\]` should be 'dwa'. Found .*avgnorm"):
        equipoise.DWA().load_state_dict(equipoise.AvgNorm().state_dict())


@pytest.mark.parametrize("name", METHODS)
def test_tasks_come_and_go(name):
    balancer = create(name)
    for number, jacobian in enumerate(jacobians(24)):
        present = [("a", "b", "c"), ("a", "c"), ("b",), ("c", "a")][number % 4]
        rows = jacobian[[NAMES.index(task) for task in present]]
        update, balance = linear_step(balancer, rows, 1 + rows[:, 0] ** 2, present)
        assert tuple(balance.losses) == present
        assert bool(update.isfinite().all())
        assert float(update.norm()) < 1e4
        if number % 3 == 2:
            balancer.end_epoch()


@pytest.mark.parametrize("name", METHODS)
def test_a_task_that_joins_late_is_taken_in(name):
    balancer = create(name)
    for number, jacobian in enumerate(jacobians(8)):
        count = 2 if number < 4 else 3
        update, balance = linear_step(balancer, jacobian[:count], tasks=NAMES[:count])
        assert bool(update.isfinite().all())
        balancer.end_epoch()
    if balance.weights is not None:
        assert abs(float(balance.weights["c"])) > 1e-6


@pytest.mark.parametrize("name", ["uw", "imtl_l", "gradnorm"])
def test_a_missing_task_keeps_its_weight(name):
    balancer, unseen = create(name), create(name)
    steps = jacobians(12)
    run(balancer, steps)
    unseen.load_state_dict(balancer.state_dict())
    expected = linear_step(unseen, steps[0])[1].weights["task2"]
    for jacobian in steps[:3]:
        linear_step(balancer, jacobian[:2])
    assert torch.equal(linear_step(balancer, steps[0])[1].weights["task2"], expected)


@pytest.mark.parametrize("name", ["rlw", "pcgrad", "gradvac", "graddrop"])
def test_draws_follow_the_seed_alone(name):
    steps = jacobians(5)
    torch.manual_seed(1)
    one = run(equipoise.create(name, seed=5), steps)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    two = run(equipoise.create(name, seed=5), steps)
    assert torch.equal(torch.get_rng_state(), state)
    other = run(equipoise.create(name, seed=6), steps)
    assert all(torch.equal(x, y) for x, y in zip(one, two, strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(one, other, strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["rlw", "pcgrad", "gradvac", "graddrop"])
def test_draws_go_on_from_a_checkpoint_that_was_loaded_onto_a_device(name):
    steps = jacobians(16)
    first, second = create(name), create(name)
    stored = io.BytesIO()
    torch.save(first.state_dict(), stored)
    stored.seek(0)
    second.load_state_dict(torch.load(stored, map_location="cuda", weights_only=True))
    assert all(torch.equal(x, y) for x, y in zip(run(first, steps), run(second, steps), strict=True))


@pytest.mark.parametrize("name", ["dwa", "stch"])
def test_a_window_stands_for_epochs(name):
    steps = jacobians(12)
    by_window, by_epoch = equipoise.create(name, window=4), equipoise.create(name)
    for number, jacobian in enumerate(steps):
        losses = 1 + torch.rand(3, dtype=torch.float64, generator=torch.Generator().manual_seed(number))
        found = [weights_of(linear_step(balancer, jacobian, losses)[1]) for balancer in (by_window, by_epoch)]
        assert torch.equal(*found)
        by_window.end_epoch()  # does nothing
        if number % 4 == 3:
            by_epoch.end_epoch()


def test_an_epoch_without_steps_does_not_count():
    balancer = equipoise.create("dwa")
    for scale in (1.0, 0.5):
        linear_step(balancer, jacobians(1)[0], torch.tensor([scale, 1.0, 1.0], dtype=torch.float64))
        balancer.end_epoch()
        balancer.end_epoch()
    weights = weights_of(linear_step(balancer, jacobians(1)[0])[1])
    torch.testing.assert_close(weights, 3 * torch.tensor([0.25, 0.5, 0.5], dtype=torch.float64).softmax(0))


def test_nash_mtl_measures_only_when_due():
    balancer = equipoise.create("nash_mtl", every=3)
    looked = [linear_step(balancer, jacobian)[1].norms is not None for jacobian in jacobians(7)]
    assert looked == [True, False, False, True, False, False, True]
    assert linear_step(balancer, jacobians(1, 4)[0])[1].norms is not None  # a new task


@pytest.mark.parametrize("name", ["moco", "db_mtl", "excess_mtl"])
def test_other_shared_parameters_are_refused(name):
    balancer = create(name)
    linear_step(balancer, jacobians(1, size=6)[0])
    before = str(balancer.state_dict())
    with pytest.raises(ValueError, match="`shared` should be the same parameters"):
        linear_step(balancer, jacobians(1, size=7)[0])
    assert str(balancer.state_dict()) == before
