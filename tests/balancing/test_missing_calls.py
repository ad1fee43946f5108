"""A method that needs `after_step` or `end_epoch` warns once if the loop does not call it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

import equipoise
from equipoise.balancing import balancer as module


@contextmanager
def quiet() -> Iterator[None]:
    """Turn every warning into an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


class Loop:
    """A network of two tasks, its optimiser and a balancer."""

    def __init__(self, balancer: equipoise.Balancer, *, set_to_none: bool = True) -> None:
        torch.manual_seed(0)
        self.balancer, self.set_to_none = balancer, set_to_none
        self.layer = torch.nn.Linear(3, 2)
        self.optimizer = torch.optim.SGD(self.layer.parameters(), lr=0.01)

    def losses(self, factor: float = 1.0) -> dict[str, torch.Tensor]:
        a, b = self.layer(torch.ones(1, 3))[0].square() + 1
        return {"a": a * factor, "b": b}

    def backward(self, factor: float = 1.0) -> equipoise.Balance:
        return self.balancer.backward(self.losses(factor), shared=self.layer.parameters())

    def step(self, *, after: bool) -> None:
        self.optimizer.step()
        if after:
            self.balancer.after_step(equipoise.Context(again=lambda: equipoise.Forward(self.losses())))
        self.optimizer.zero_grad(set_to_none=self.set_to_none)


@pytest.fixture
def short_epochs(monkeypatch):
    monkeypatch.setattr(module, "STEPS_WITHOUT_EPOCH", 5)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_famo_warns_once_without_after_step(set_to_none):
    loop = Loop(equipoise.FAMO(), set_to_none=set_to_none)
    with quiet():
        loop.backward()
        loop.step(after=False)
    with pytest.warns(UserWarning, match=r"famo .*`after_step`") as caught:
        loop.backward()
    # The warning points at the loop's line.
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with quiet():
        for _ in range(3):
            loop.step(after=False)
            loop.backward()


@pytest.mark.parametrize("set_to_none", [True, False])
def test_no_warning_if_the_loop_calls_after_step(set_to_none):
    loop = Loop(equipoise.FAMO(), set_to_none=set_to_none)
    with quiet():
        for _ in range(4):
            loop.backward()
            loop.step(after=True)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_no_warning_while_gradients_accumulate(set_to_none):
    loop = Loop(equipoise.FAMO(), set_to_none=set_to_none)
    with quiet():
        for _ in range(3):
            for _ in range(4):
                loop.backward()
            loop.step(after=True)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_accumulation_without_after_step_warns_at_the_next_step(set_to_none):
    loop = Loop(equipoise.FAMO(), set_to_none=set_to_none)
    with quiet():
        loop.backward()
        loop.backward()
        loop.step(after=False)
    with pytest.warns(UserWarning, match="`after_step`"):
        loop.backward()


def test_no_warning_after_a_skipped_step():
    loop = Loop(equipoise.FAMO(nonfinite="skip"))
    with quiet():
        assert loop.backward(float("nan")).skipped
        loop.optimizer.zero_grad()
        loop.backward()
        # The last batch of an accumulated step is not finite, and the loop gives the whole step up.
        assert loop.backward(float("nan")).skipped
        loop.optimizer.zero_grad()
        loop.backward()
        loop.step(after=True)


def test_no_warning_after_a_step_that_the_scaler_skips():
    loop = Loop(equipoise.FAMO())
    scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    with quiet():
        loop.balancer.backward(loop.losses(), shared=loop.layer.parameters(), scaler=scaler)
        # The second batch of the step has finite losses and an infinite gradient, so that the scaler skips the step.
        losses = loop.losses() | {"a": (loop.layer.bias[0] * 0).sqrt() + 1}
        assert loop.balancer.backward(losses, shared=loop.layer.parameters(), scaler=scaler).skipped
        loop.optimizer.zero_grad()
        loop.backward()


@pytest.mark.usefixtures("short_epochs")
@pytest.mark.parametrize("name", ["dwa", "stch"])
def test_methods_of_epochs_warn_once_without_end_epoch(name):
    loop = Loop(equipoise.create(name))
    with quiet():
        for _ in range(5):
            loop.backward()
    with pytest.warns(UserWarning, match=rf"{name} .*`end_epoch`.* 5 steps") as caught:
        loop.backward()
    assert len(caught) == 1
    with quiet():
        for _ in range(10):
            loop.backward()


@pytest.mark.usefixtures("short_epochs")
@pytest.mark.parametrize("name", ["dwa", "stch"])
def test_no_warning_with_epochs_or_a_window(name):
    loop, windowed = Loop(equipoise.create(name)), Loop(equipoise.create(name, window=3))
    with quiet():
        for number in range(12):
            loop.backward()
            windowed.backward()
            if number % 4 == 3:
                loop.balancer.end_epoch()


def test_the_limit_is_5000_steps():
    assert module.STEPS_WITHOUT_EPOCH == 5000


@pytest.mark.usefixtures("short_epochs")
def test_other_methods_never_warn():
    loop = Loop(equipoise.Uniform())
    with quiet():
        for _ in range(10):
            loop.backward()
            loop.step(after=False)
