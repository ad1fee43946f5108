"""Measuring at the last shared layer gives the same result from gradients and from their inner products alone."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import equipoise
from equipoise import NonFiniteError
from equipoise.balancing import Balance, MethodInfo, Place, StepInputs, WeightBalancer
from equipoise.balancing.engine.observation import Measurement

from .last_layers import FORMED, SHORT, TASKS, Case, Trunk, WeightGradients, linear, the_end_of_a_resnet
from .networks import assert_grads_match, flat, task_gradients


class Listener:
    """A probe of every step at the last layer that also reads single entries."""

    at = Place.LAST_LAYER

    def __init__(self) -> None:
        self.heard: list[Measurement] = []

    def due(self) -> bool:
        return True

    def write(self, measurement: Measurement) -> None:
        self.heard.append(measurement)


def explicit(case: Case, tasks: Sequence[str] | None = None) -> Tensor:
    """The inner products of gradients that are formed task by task."""
    rows = [flat(found, case.layer) for found in task_gradients(case.losses(tasks), case.layer).values()]
    stacked = torch.stack(rows).double()
    return stacked @ stacked.T


def measured(balance: Balance) -> Tensor:
    """Return the inner products that a balancer measures."""
    norms = torch.stack(list(balance.norms.values()))
    return balance.cosines * norms * norms[:, None]


def assert_measured(case: Case, balance: Balance, tolerance: float = 2e-5) -> None:
    gram = explicit(case, tuple(balance.losses))
    norms = gram.diagonal().sqrt()
    # Against the size that an entry could have.
    size = norms * norms[:, None] + torch.finfo(torch.float64).tiny
    torch.testing.assert_close(measured(balance) / size, gram / size, rtol=0, atol=tolerance)
    weights = torch.stack(list(balance.weights.values())).double()
    contributed = gram.sum().sqrt() * (norms > 0)
    torch.testing.assert_close(weights * norms, contributed, rtol=tolerance, atol=tolerance * float(norms.max()))


@pytest.mark.parametrize("cut", [True, False], ids=["features", "no features"])
@pytest.mark.parametrize("make", SHORT.values(), ids=SHORT)
def test_on_small_maps_only_the_update_is_formed(make, cut):
    options = {} if cut else {"features": None}
    assert make().formed_in(equipoise.AvgNorm(), **options) == 1
    case = make()
    balance = case.step(equipoise.AvgNorm(), **options)
    assert_grads_match(case.modules(), balance.weights, case.losses(), rtol=1e-3, atol=1e-5)
    assert_measured(case, balance)


@pytest.mark.parametrize("make", FORMED.values(), ids=FORMED)
def test_elsewhere_the_gradients_are_formed(make):
    torch.manual_seed(0)
    case = make()
    balance = case.step(equipoise.AvgNorm())
    assert_grads_match(case.modules(), balance.weights, case.losses(), rtol=1e-3, atol=1e-5)
    assert_measured(case, balance)


@pytest.mark.parametrize("make", [FORMED["a large map"], FORMED["many rows"]])
def test_on_large_maps_the_gradients_are_formed_as_that_is_cheaper(make):
    assert make().formed_in(equipoise.AvgNorm()) == len(TASKS) + 1


@given(dimensions=st.integers(1, 3), data=st.data(), bias=st.booleans(), batch=st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_any_convolution(dimensions, data, bias, batch):
    def drawn(low: int, high: int) -> tuple[int, ...]:
        return data.draw(st.tuples(*[st.integers(low, high)] * dimensions))

    kernel, stride, padding, dilation, size = drawn(1, 3), drawn(1, 3), drawn(0, 3), drawn(1, 3), drawn(1, 4)
    reach = [step * (k - 1) + 1 for k, step in zip(kernel, dilation, strict=True)]
    size = tuple(max(n, r - 2 * pad) for n, r, pad in zip(size, reach, padding, strict=True))
    torch.manual_seed(0)
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimensions - 1]
    last = kind(24, 20, kernel, stride, padding, dilation, bias=bias)
    case = Case(Trunk(kind(3, 24, 1), last), torch.randn(batch, 3, *size))
    assert_measured(case, case.step(equipoise.AvgNorm()))


@pytest.mark.parametrize("make", [SHORT["ResNet"], SHORT["linear"], FORMED["a large map"]])
def test_tasks_may_be_missing_and_gradients_accumulate(make):
    case = make()
    balancer = equipoise.AvgNorm()
    total = torch.zeros(())
    for tasks in (("a", "c"), ("b",), TASKS):
        balance = case.step(balancer, tasks)
        assert tuple(balance.losses) == tasks
        assert_measured(case, balance)
        losses = case.losses()
        total = total + sum(float(balance.weights[task]) * losses[task] for task in tasks)
    assert_grads_match(case.modules(), {"all": torch.ones(())}, {"all": total}, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [SHORT["ResNet"], SHORT["linear"]])
def test_between_measurements_nothing_is_looked_at(make):
    case, balancer = make(), equipoise.AvgNorm(every=2)
    balances = [case.step(balancer) for _ in range(3)]
    assert [balance.norms is not None for balance in balances] == [True, False, True]


@pytest.mark.parametrize("make", [SHORT["ResNet"], SHORT["linear over tokens"]])
def test_gradnorm_takes_the_short_way_too(make):
    case = make()
    assert case.formed_in(equipoise.GradNorm()) == 1
    other = make()
    gradnorm = [equipoise.GradNorm(learning_rate=0.3) for _ in range(2)]
    for _ in range(3):
        short = case.step(gradnorm[0])
        formed = other.step(gradnorm[1], probe=Listener())
        for one, two in zip(short.weights.values(), formed.weights.values(), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [SHORT["ResNet"], SHORT["padded"], SHORT["linear"], SHORT["linear over tokens"]])
def test_autocast(make):
    case = make()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = case.trunk(case.inputs)
        losses = case.heads(features)
    with WeightGradients(case.weight) as counted:
        balance = equipoise.AvgNorm().backward(losses, features=features, last_layer=case.layer)
    assert counted.found == 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_measured(case, balance, tolerance=1e-2)


def test_a_gradient_scaler_leaves_the_measured_norms():
    case = the_end_of_a_resnet()
    balance = case.step(equipoise.AvgNorm(), scaler=torch.amp.GradScaler("cpu", init_scale=1024.0))
    assert_measured(case, balance)


def exact(case: Case, losses: Callable[[Case], dict[str, Tensor]]) -> Tensor:
    """The inner products of the task gradients, all computed in double precision."""
    double = deepcopy(case)
    double.trunk, double.heads, double.inputs = double.trunk.double(), double.heads.double(), case.inputs.double()
    gradients = task_gradients(losses(double), double.layer)
    rows = torch.stack([flat(found, double.layer) for found in gradients.values()])
    return rows @ rows.T


@pytest.mark.parametrize("size", [1e-15, 1.0, 1e15])
@pytest.mark.parametrize("difference", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("make", [SHORT["ResNet"], SHORT["padded"], SHORT["linear"]])
def test_no_digit_is_lost_against_gradients_that_are_formed(make, difference, size):
    """Nearly opposite gradients of any size: the norm of their sum is as close to the truth either way."""

    def losses(case: Case) -> dict[str, Tensor]:
        found = case.losses()
        return {"a": found["b"] * size, "b": (found["c"] * difference - found["b"]) * size}

    def errors(balance: Balance) -> Tensor:
        found = [torch.cat([gram.diagonal(), gram.sum()[None]]).sqrt() for gram in (measured(balance), truth)]
        return (found[0] / found[1] - 1).abs()

    case = make()
    truth = exact(case, losses)
    with WeightGradients(case.weight) as counted:
        short = equipoise.AvgNorm().backward(losses(case), last_layer=case.layer)
    assert counted.found == 1
    formed = equipoise.AvgNorm().backward(losses(case), last_layer=case.layer, probe=Listener())
    # What is lost before the gradients reach the layer is lost either way, with another sign now and then.
    assert bool((errors(short) <= 4 * errors(formed) + 1e-7 / difference).all())


def test_a_gradient_that_vanishes_is_zero():
    case = linear(40, 30)()
    case.inputs = case.inputs[:1].expand(2, -1)
    features = case.trunk(case.inputs)
    losses = {"a": (features[0] - features[1]).sum(), "b": features.square().sum()}
    balance = equipoise.AvgNorm().backward(losses, features=features, last_layer=case.layer)
    assert float(balance.norms["a"]) == float(balance.weights["a"]) == 0.0
    torch.testing.assert_close(balance.weights["b"], torch.ones(()))


class Entries(WeightBalancer):
    """Weights by the largest entry of each gradient."""

    info = MethodInfo(name="entries", title="Entries", paper="none", default_place=Place.LAST_LAYER, scale="absolute")

    def weigh(self, inputs: StepInputs) -> Tensor:
        assert inputs.gradients is not None
        assert torch.equal(inputs.gradients.matrix(), inputs.rows)
        return inputs.rows.abs().amax(1)


@pytest.mark.parametrize("scale", [1.0, 256.0])
@pytest.mark.parametrize("make", [SHORT["ResNet"], SHORT["padded"]])
def test_methods_may_still_look_at_single_entries(make, scale):
    case = make()
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=scale != 1.0)
    balance = case.step(Entries(), scaler=scaler)
    gradients = task_gradients(case.losses(), case.layer)
    largest = {task: flat(found, case.layer).abs().max() for task, found in gradients.items()}
    torch.testing.assert_close(balance.weights, largest)


def test_a_probe_at_the_last_layer_gets_single_entries():
    case, probe = the_end_of_a_resnet(), Listener()
    balance = case.step(equipoise.AvgNorm(), probe=probe)
    rows = torch.stack([flat(found, case.layer) for found in task_gradients(case.losses(), case.layer).values()])
    torch.testing.assert_close(probe.heard[0].sample, rows, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(probe.heard[0].gram, measured(balance))


@pytest.mark.parametrize("make", [SHORT["ResNet"], SHORT["linear"]])
def test_a_nan_names_its_task(make):
    case = make()
    features = case.trunk(case.inputs)
    losses = case.heads(features)
    losses["b"] = losses["b"] + (features * 0).square().sum().sqrt()
    with pytest.raises(NonFiniteError) as caught:
        equipoise.AvgNorm().backward(losses, features=features, last_layer=case.layer)
    assert caught.value.tasks == ("b",)
    assert all(parameter.grad is None for parameter in case.modules().parameters())


def test_every_task_must_depend_on_the_layer():
    case = the_end_of_a_resnet()
    features = case.trunk(case.inputs)
    early = case.trunk.first(case.inputs)
    losses = {"a": features.square().mean(), "b": early.square().mean()}
    with pytest.raises(
        ValueError, match=r"`last_layer` should be a layer of the trunk that every loss depends on\..*`b`"
    ):
        equipoise.AvgNorm().backward(losses, features=[features, early], last_layer=case.layer)


def double(*arguments: Any) -> Any:
    found = arguments[-1]
    return tuple(2 * gradient for gradient in found) if isinstance(found, tuple) else 2 * found


@pytest.mark.parametrize("hook", ["output", "module"])
def test_hooks_on_the_way_to_the_layer_are_heard(hook):
    case = the_end_of_a_resnet()
    if hook == "output":
        case.trunk.last.register_forward_hook(lambda module, inputs, output: output.register_hook(double) and None)
    else:
        case.trunk.last.register_full_backward_pre_hook(double)
    assert_measured(case, case.step(equipoise.AvgNorm()))


def test_a_hook_on_the_weight_hears_the_update_alone():
    hooked, bare = the_end_of_a_resnet(), the_end_of_a_resnet()
    hooked.weight.register_hook(double)
    assert measured(hooked.step(equipoise.AvgNorm())).equal(measured(bare.step(equipoise.AvgNorm())))
    torch.testing.assert_close(hooked.weight.grad, 2 * bare.weight.grad)


@pytest.mark.parametrize("retain", [False, True], ids=["freed", "retained"])
def test_a_graph_is_used_twice_only_if_it_is_kept(retain):
    case = the_end_of_a_resnet()
    features = case.trunk(case.inputs)
    losses = case.heads(features)
    options = {"features": features, "last_layer": case.layer}
    first = equipoise.AvgNorm().backward(losses, retain_graph=retain, **options)
    if not retain:
        with pytest.raises(RuntimeError, match="second time"):
            equipoise.AvgNorm().backward(losses, **options)
        return
    second = equipoise.AvgNorm().backward(losses, **options)
    assert measured(first).equal(measured(second))


def test_a_compiled_trunk():
    case = the_end_of_a_resnet()
    compiled = torch.compile(case.trunk, backend="aot_eager")
    features = compiled(case.inputs)
    balance = equipoise.AvgNorm().backward(case.heads(features), features=features, last_layer=case.layer)
    assert_measured(case, balance)
