"""Methods of users: a class with annotated fields is enough, and every balancer can be copied and pickled."""

import copy
import dataclasses
import pickle

import pytest
import torch

import equipoise
from equipoise.balancing import hyper_parameters
from equipoise.balancing.hyper_parameters import at_least, each, or_none, within

from .networks import context, label, network, step, variants

INFO = equipoise.MethodInfo(
    name="own", title="Own", paper="none", default_place=equipoise.Place.LOSSES, scale="as it says"
)


class Inverse(equipoise.WeightBalancer):
    """Weights that fall with the loss."""

    info = INFO

    power: float = equipoise.hyper(default=1.0, rule=within(0, 4))
    offsets: dict[str, float] = equipoise.hyper(default_factory=dict, rule=each(at_least(0)))
    plain: bool = False

    def weigh(self, inputs: equipoise.StepInputs) -> torch.Tensor:
        offsets = inputs.losses.new_tensor([self.offsets.get(task, 0.0) for task in inputs.tasks])
        return torch.ones_like(inputs.losses) if self.plain else (inputs.losses + offsets) ** -self.power


class Longest(equipoise.GramBalancer):
    """The task with the longest gradient alone."""

    info = INFO

    share: float = equipoise.hyper(default=1.0, rule=within(0, 1, ends="(]"))

    def solve(self, inputs: equipoise.StepInputs, gram: torch.Tensor) -> torch.Tensor:
        return self.share * (gram.diagonal() == gram.diagonal().max()).to(gram)


class LastEpoch(equipoise.EpochBalancer):
    """Weights by the mean losses of the last epoch."""

    info = INFO

    floor: int | None = equipoise.hyper(default=None, rule=or_none(at_least(1)))

    def initial_state(self):
        return super().initial_state() | {"last": {}}

    def epoch_weights(self, inputs: equipoise.StepInputs) -> torch.Tensor:
        return torch.stack([self.state["last"].get(task, torch.tensor(1.0)) for task in inputs.tasks])

    def state_after_epoch(self, averages):
        return {"last": dict(averages)}


def losses(x: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"a": 2 * x[0], "b": 4 * x[1]}


def test_methods_of_every_base_work():
    x = torch.ones(2, requires_grad=True)
    inverse = Inverse(power=2.0, offsets={"b": 1.0}, nonfinite="skip").backward(losses(x))
    assert inverse.weights == {"a": torch.tensor(0.25), "b": torch.tensor(0.04)}
    longest = Longest(share=0.5, measure_at="shared").backward(losses(x))
    assert longest.weights == {"a": torch.tensor(0.0), "b": torch.tensor(0.5)}
    epochs = LastEpoch(window=2)
    for expected in (1.0, 1.0, 2.0):
        balance = epochs.backward(losses(x))
        assert balance.weights is not None
        assert float(balance.weights["a"]) == expected


@pytest.mark.parametrize(
    ("method", "options", "name"),
    [
        (Inverse, {"power": 5.0}, "power"),
        (Inverse, {"power": "two"}, "power"),
        (Inverse, {"offsets": {"a": -1.0}}, r"offsets\['a'\]"),
        (Inverse, {"nonfinite": "ignore"}, "nonfinite"),
        (Longest, {"share": 0.0}, "share"),
        (Longest, {"measure_at": "head"}, "measure_at"),
        (LastEpoch, {"floor": 0}, "floor"),
        (LastEpoch, {"window": 0}, "window"),
        (LastEpoch, {"window": 2.5}, "window"),
        (LastEpoch, {"floor": "three"}, "floor"),
    ],
)
def test_a_wrong_value_is_refused_by_name(method, options, name):
    with pytest.raises(ValueError, match=rf"`{name}` should .* Found"):
        method(**options)


def test_own_fields_come_first_and_unknown_arguments_are_refused():
    assert list(hyper_parameters(Inverse)) == ["power", "offsets", "plain", "nonfinite", "between_tasks"]
    with pytest.raises(TypeError, match="pwer"):
        Inverse(pwer=1.0)  # pyright: ignore[reportCallIssue]


def test_defaults_are_not_shared():
    first, second = Inverse(), Inverse()
    first.offsets["a"] = 3.0
    assert second.offsets == {}
    given = {"a": 1.0}
    third = Inverse(offsets=given)
    given["a"] = 7.0
    assert third.offsets == {"a": 1.0}


def test_a_default_without_a_type_is_refused():
    with pytest.raises(TypeError, match=r"`Untyped.power` should be declared with its type"):
        type("Untyped", (Inverse,), {"power": 2.0})


@pytest.mark.parametrize("name", ["state", "training", "place", "backward", "parameters"])
def test_names_that_balancers_use_are_refused(name):
    with pytest.raises(TypeError, match=rf"`Clash.{name}` should have another name"):
        type("Clash", (Inverse,), {"__annotations__": {name: int}, name: 1})


def copies(balancer: equipoise.Balancer) -> list[equipoise.Balancer]:
    return [copy.deepcopy(balancer), pickle.loads(pickle.dumps(balancer))]


@pytest.mark.parametrize("variant", variants(), ids=label)
def test_copies_and_pickles_go_on_as_the_original(variant):
    name, arguments = variant
    net, inputs = network()
    balancer = equipoise.create(name, **arguments)
    now = context(balancer, net, inputs)
    step(balancer, net, inputs, context=now)
    balancer.after_step(now)
    gradients = []
    state = torch.get_rng_state()
    for each_copy in [*copies(balancer), balancer]:
        torch.set_rng_state(state)
        net.zero_grad()
        step(each_copy, net, inputs, context=context(each_copy, net, inputs))
        gradients.append([parameter.grad for parameter in net.parameters()])
    for found in gradients[:2]:
        assert all(torch.equal(x, y) for x, y in zip(found, gradients[2], strict=True))


def test_where_a_method_measures_is_the_default_of_its_option():
    class Follows(equipoise.GramBalancer):
        info = equipoise.MethodInfo(name="follows", title="Follows", paper="none", scale="any")

        def solve(self, inputs, gram):
            return torch.ones_like(gram[0])

    assert Follows.info.default_place is equipoise.Place.SHARED
    with pytest.raises(TypeError, match=r"`Contradicts\.info\.default_place` should be the default"):

        class Contradicts(Follows):
            info = dataclasses.replace(Follows.info, default_place=equipoise.Place.LAST_LAYER)


def test_wrong_weights_are_named():
    class Wrong(equipoise.WeightBalancer):
        info = equipoise.MethodInfo(name="wrong", title="Wrong", paper="none", scale="any")
        size: int = equipoise.hyper(default=7)
        value: float = equipoise.hyper(default=1.0)

        def weigh(self, inputs):
            return torch.full((self.size,), self.value)

    layer = torch.nn.Linear(2, 2)
    losses = dict(zip("ab", layer(torch.ones(1, 2))[0], strict=True))
    with pytest.raises(ValueError, match=r"`Wrong.weigh` should return .* each of the 2 tasks. Found `\[7\]`"):
        Wrong().backward(losses, retain_graph=True)
    with pytest.raises(equipoise.NonFiniteError, match="The weight of `a`, `b` is NaN"):
        Wrong(size=2, value=float("nan")).backward(losses)
    assert layer.weight.grad is None


def test_printing_a_method_shows_its_options():
    assert "c=0.3" in repr(equipoise.CAGrad(c=0.3))
    assert "nonfinite='skip'" in repr(equipoise.Uniform(nonfinite="skip"))
