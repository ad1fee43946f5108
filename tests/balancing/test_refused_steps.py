"""A step that is refused leaves no trace in `.grad` or in the state. A step that is skipped is counted."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import equipoise
from equipoise import Balance, Balancer, Context, Forward, NonFiniteError
from equipoise.balancing import MethodInfo, Place, StepInputs, WeightBalancer

from .networks import Network, context, network, step

# Methods whose state changes in every step, by where they look.
METHODS = {
    "avgnorm": {"ema": 0.5},
    "avgnorm every": {"every": 3},
    "avgnorm at the features": {"ema": 0.5, "measure_at": "features"},
    "db_mtl": {"beta": 0.5},
    "dwa": {},
    "excess_mtl": {},
    "famo": {},
    "gradnorm": {},
    "gradvac": {"beta": 0.5},
    "moco": {},
    "modo": {},
    "nash_mtl": {"every": 2},
    "rlw": {},
    "sdmgrad": {},
    "uw": {},
}
every_method = pytest.mark.parametrize("name", METHODS)


def create(name: str, **options: str) -> Balancer:
    return equipoise.create(name.split()[0], **METHODS[name], **options)


def spoilt(balancer: Balancer, net: Network, inputs: Tensor, **options) -> Balance:
    """A step in which the gradient of a parameter of one head alone is NaN: it shows after the method has decided."""
    features = net.encode(inputs)
    losses = net.losses(features, adapt=balancer.adapt)
    own = net.heads["b"][-1].bias
    losses["b"] = losses["b"] + ((own - own.detach()) * 0).square().sum().sqrt()
    options = {"context": context(balancer, net, inputs), **options}
    return balancer.backward(losses, features=features, last_layer=net.last, **options)


def whole_step(balancer: Balancer, net: Network, inputs: Tensor) -> None:
    """A step with all that a training loop does for a method; the network stays as it is."""
    around = context(balancer, net, inputs)
    step(balancer, net, inputs, context=around)
    balancer.after_step(around)


def weights_after(balancer: Balancer, net: Network, inputs: Tensor) -> list[Tensor]:
    """The gradients of two further steps."""
    found = []
    for batch in (inputs, 0.7 * inputs):
        net.zero_grad()
        whole_step(balancer, net, batch)
        found += [parameter.grad.clone() for parameter in net.parameters()]
    return found


@every_method
@pytest.mark.parametrize("how", ["raise", "skip"])
def test_a_gradient_that_shows_late_leaves_no_trace(name, how):
    net, inputs = network()
    balancer, untroubled = create(name, nonfinite=how), create(name)
    for one in (balancer, untroubled):
        whole_step(one, net, inputs)
    net.zero_grad()
    if how == "raise":
        with pytest.raises(NonFiniteError) as caught:
            spoilt(balancer, net, 1.5 * inputs)
        assert caught.value.tasks == ("b",)
    else:
        assert spoilt(balancer, net, 1.5 * inputs).skipped
    assert all(parameter.grad is None for parameter in net.parameters())
    expected = weights_after(untroubled, net, inputs)
    torch.testing.assert_close(weights_after(balancer, net, inputs), expected, rtol=0, atol=0)


@every_method
def test_a_step_that_the_scaler_will_skip_leaves_no_trace_in_the_state(name):
    net, inputs = network()
    balancer, untroubled = create(name), create(name)
    for one in (balancer, untroubled):
        whole_step(one, net, inputs)
    assert spoilt(balancer, net, 1.5 * inputs, scaler=torch.amp.GradScaler("cpu", init_scale=8.0)).skipped
    # The gradients arrive, so that the scaler finds what is wrong with them.
    assert not bool(net.heads["b"][-1].bias.grad.isfinite().all())
    expected = weights_after(untroubled, net, inputs)
    torch.testing.assert_close(weights_after(balancer, net, inputs), expected, rtol=0, atol=0)


class Interrupted(WeightBalancer):
    """Counts its steps, and fails in the second."""

    info = MethodInfo(name="interrupted", title="Interrupted", paper="none", default_place=Place.LOSSES, scale="sum")

    def __init__(self, error: Exception, **options: str) -> None:
        super().__init__(**options)
        self.error = error

    def weigh(self, inputs: StepInputs) -> Tensor:
        self.state = self.state | {"steps": self.state.get("steps", 0) + 1}
        if self.state["steps"] == 2:
            raise self.error
        return torch.ones_like(inputs.losses)


@pytest.mark.parametrize("error", [KeyError("interrupted"), NonFiniteError("another batch is NaN", ["a"])], ids=repr)
def test_an_error_of_the_method_leaves_no_trace_in_the_state(error):
    net, inputs = network()
    balancer = Interrupted(error)
    step(balancer, net, inputs)
    for _ in range(2):
        with pytest.raises(type(error)):
            step(balancer, net, inputs)
    assert balancer.state == {"steps": 1}


def test_a_step_that_is_skipped_for_another_batch_leaves_no_trace_in_the_state():
    net, inputs = network()
    balancer = Interrupted(NonFiniteError("another batch is NaN", ["a"]), nonfinite="skip")
    step(balancer, net, inputs)
    for _ in range(2):
        assert step(balancer, net, inputs).skipped
    assert balancer.state == {"steps": 1}
    assert balancer.skipped_steps == 2


def further_that_fails(balancer: Balancer, net: Network, inputs: Tensor) -> Balance:
    def broken() -> Forward:
        features = net.encode(inputs)
        return Forward({task: loss * float("nan") for task, loss in net.losses(features).items()}, features)

    return step(balancer, net, inputs, context=Context(further=broken))


def a_loss(balancer: Balancer, net: Network, inputs: Tensor) -> Balance:
    features = net.encode(inputs)
    losses = net.losses(features)
    losses["a"] = losses["a"] * float("inf")
    return balancer.backward(losses, features=features, last_layer=net.last)


def a_gradient_that_is_looked_at(balancer: Balancer, net: Network, inputs: Tensor) -> Balance:
    features = net.encode(inputs)
    losses = net.losses(features)
    losses["a"] = losses["a"] + (features * 0).square().sum().sqrt()
    return balancer.backward(losses, features=features, last_layer=net.last)


@pytest.mark.parametrize(
    ("name", "fail"),
    [
        ("uniform", a_loss),
        ("uniform", a_gradient_that_is_looked_at),
        ("uniform", spoilt),
        ("avgnorm", a_loss),
        ("avgnorm", a_gradient_that_is_looked_at),
        ("avgnorm", spoilt),
        ("modo", further_that_fails),
    ],
)
def test_every_skipped_step_is_counted_once(name, fail: Callable[[Balancer, Network, Tensor], Balance]):
    net, inputs = network()
    balancer = equipoise.create(name, nonfinite="skip")
    for count in (1, 2, 3):
        balance = fail(balancer, net, inputs)
        assert balance.skipped
        assert balance.weights is None
        assert balancer.skipped_steps == count
        assert not step(balancer, net, inputs).skipped
        assert balancer.skipped_steps == count
        net.zero_grad()
    restored = equipoise.create(name, nonfinite="skip")
    restored.load_state_dict(balancer.state_dict())
    assert restored.skipped_steps == 3
