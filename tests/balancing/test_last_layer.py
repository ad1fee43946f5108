"""What methods see at the last shared layer is the same whether its gradients are formed or only their products."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import equipoise
from equipoise import NonFiniteError
from equipoise.balancing import Balance, Evidence, Method, Source, WeightBalancer
from equipoise.balancing.measurement import Measurement

from .networks import assert_grads_match, flat, task_gradients

TASKS = ("a", "b", "c")


class WeightGradients(TorchDispatchMode):
    """Counts how often the gradient at a layer's weight is formed."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.shapes, self.found = (weight.shape, weight.shape[::-1]), 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.convolution_backward):
            made = [out] if isinstance(out, Tensor) else out
            self.found += any(tensor is not None and tensor.shape in self.shapes for tensor in made)
        return out


class Trunk(nn.Module):
    """A first layer that makes a graph, the last layer, and what comes after it."""

    def __init__(self, first: nn.Module, last: nn.Module, after: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.last, self.after = first, last, after or nn.Tanh()

    def forward(self, inputs: Tensor) -> Tensor:
        return self.after(self.last(self.first(inputs)))


class Heads(nn.Module):
    """A linear map of all features for each task. The losses differ in scale by a factor of a hundred."""

    def __init__(self, features: int, tasks: Sequence[str] = TASKS) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({task: nn.Linear(features, 2) for task in tasks})

    def forward(self, features: Tensor, tasks: Sequence[str] | None = None) -> dict[str, Tensor]:
        read = features.flatten(1)
        return {
            task: (head(read) - number).square().mean() * 10.0 ** (number - 1)
            for number, (task, head) in enumerate(self.heads.items())
            if tasks is None or task in tasks
        }


@dataclass
class Case:
    """A trunk and a batch.

    Attributes:
        trunk: What makes the features.
        inputs: The batch.
        named: What is given as the last layer, if not the parameters of `trunk.last`.
        heads: What reads the features.
    """

    trunk: nn.Module
    inputs: Tensor
    named: list[Tensor] | None = None
    heads: Heads = field(init=False)

    def __post_init__(self) -> None:
        with torch.no_grad():
            self.heads = Heads(self.trunk(self.inputs).flatten(1).shape[1]).to(self.inputs.dtype)

    @property
    def layer(self) -> list[Tensor]:
        return self.named or list(self.trunk.last.parameters())

    @property
    def weight(self) -> Tensor:
        return max(self.layer, key=Tensor.numel)

    def modules(self) -> nn.ModuleList:
        return nn.ModuleList([self.trunk, self.heads])

    def losses(self, tasks: Sequence[str] | None = None) -> dict[str, Tensor]:
        return self.heads(self.trunk(self.inputs), tasks)

    def step(self, balancer: equipoise.Balancer, tasks: Sequence[str] | None = None, **options: Any) -> Balance:
        features = self.trunk(self.inputs)
        losses = self.heads(features, tasks)
        options = {"features": features, "last_layer": self.layer} | options
        return balancer.backward(losses, **options)

    def formed_in(self, balancer: equipoise.Balancer, **options: Any) -> int:
        with WeightGradients(self.weight) as counted:
            self.step(balancer, **options)
        return counted.found


def conv(*channels: int, **options: Any) -> Callable[[], Case]:
    def make() -> Case:
        torch.manual_seed(0)
        last = nn.Conv2d(*channels, **{"kernel_size": 3} | options)
        return Case(Trunk(nn.Conv2d(3, channels[0], 1), last), torch.randn(2, 3, 5, 4))

    return make


def linear(*features: int, shape: Sequence[int] = (4,), **options: Any) -> Callable[[], Case]:
    def make() -> Case:
        torch.manual_seed(0)
        last = nn.Linear(*features, **options)
        return Case(Trunk(nn.Linear(3, features[0]), last), torch.randn(*shape, 3))

    return make


class Residual(nn.Module):
    """The end of a ResNet: normalised, added to what came before and cut at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU())
        self.last, self.norm = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, inputs: Tensor) -> Tensor:
        early = self.first(inputs)
        return (early + self.norm(self.last(early))).relu()


def the_end_of_a_resnet() -> Case:
    torch.manual_seed(0)
    return Case(Residual(24), torch.randn(3, 3, 3, 3))


def a_convolution_in_one_dimension() -> Case:
    torch.manual_seed(0)
    return Case(Trunk(nn.Conv1d(3, 24, 1), nn.Conv1d(24, 16, 3, padding=1)), torch.randn(2, 3, 6))


def a_convolution_in_three_dimensions() -> Case:
    torch.manual_seed(0)
    return Case(Trunk(nn.Conv3d(3, 16, 1), nn.Conv3d(16, 16, 3, padding=1)), torch.randn(1, 3, 3, 2, 4))


def nothing_after_it() -> Case:
    case = conv(32, 24, padding=1)()
    case.trunk.after = nn.Identity()
    return case


def a_layer_that_is_only_a_weight() -> Case:
    case = conv(32, 24, padding=1)()
    return Case(case.trunk, case.inputs, [case.trunk.last.weight])


def a_frozen_bias() -> Case:
    case = conv(32, 24, padding=1)()
    case.trunk.last.bias.requires_grad_(False)
    return Case(case.trunk, case.inputs, [case.trunk.last.weight])


def a_frozen_beginning() -> Case:
    case = conv(32, 24, padding=1)()
    case.trunk.first.requires_grad_(False)
    return case


def activation_checkpointing() -> Case:
    case = conv(32, 24, padding=1)()
    trunk = case.trunk

    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last, self.after = trunk.first, trunk.last, trunk.after

        def forward(self, inputs: Tensor) -> Tensor:
            return checkpoint(lambda x: self.after(self.last(x)), self.first(inputs), use_reentrant=False)

    return Case(Checkpointed(), case.inputs)


SHORT: dict[str, Callable[[], Case]] = {
    "plain": conv(32, 24),
    "padded": conv(32, 24, padding=1),
    "without bias": conv(32, 24, padding=1, bias=False),
    "strided": conv(48, 16, stride=2, padding=1),
    "dilated beyond the map": conv(32, 16, padding=6, dilation=6),
    "dilated and strided": conv(48, 24, padding=(3, 2), dilation=(3, 2), stride=(1, 2)),
    "same": conv(48, 32, padding="same", dilation=(2, 1)),
    "reflected": conv(48, 32, padding=1, padding_mode="reflect"),
    "linear": linear(40, 30),
    "linear without bias": linear(40, 30, bias=False),
    "linear over tokens": linear(64, 50, shape=(2, 5)),
    "linear over tokens without bias": linear(64, 50, shape=(2, 5), bias=False),
    "ResNet": the_end_of_a_resnet,
    "one dimension": a_convolution_in_one_dimension,
    "three dimensions": a_convolution_in_three_dimensions,
    "nothing after it": nothing_after_it,
    "only a weight": a_layer_that_is_only_a_weight,
    "frozen bias": a_frozen_bias,
    "frozen beginning": a_frozen_beginning,
    "checkpointed": activation_checkpointing,
}


class Called(nn.Module):
    """A trunk that does something of its own with the last layer."""

    def __init__(self, last: nn.Module, forward: Callable[[nn.Module, Tensor], Tensor], width: int = 24) -> None:
        super().__init__()
        self.first, self.last, self.how = nn.Conv2d(3, width, 1), last, forward

    def forward(self, inputs: Tensor) -> Tensor:
        return self.how(self.last, self.first(inputs)).tanh()


def called(last: Callable[[], nn.Module], forward: Callable[[Any, Tensor], Tensor]) -> Callable[[], Case]:
    def make() -> Case:
        torch.manual_seed(0)
        return Case(Called(last(), forward), torch.randn(2, 3, 5, 4))

    return make


def parts_of_two_layers() -> Case:
    case = conv(32, 24, padding=1)()
    return Case(case.trunk, case.inputs, [case.trunk.last.weight, case.trunk.first.bias])


def only_a_bias() -> Case:
    case = conv(32, 24, padding=1)()
    return Case(case.trunk, case.inputs, [case.trunk.last.bias])


def in_double_precision() -> Case:
    case = conv(32, 24, padding=1)()
    return Case(case.trunk.double(), case.inputs.double())


def square() -> nn.Module:
    return nn.Conv2d(24, 24, 3, padding=1)


def matrix() -> nn.Module:
    return nn.Linear(24, 24)


FORMED: dict[str, Callable[[], Case]] = {
    "a large map": lambda: Case(Trunk(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3)), torch.randn(2, 3, 8, 8)),
    "many rows": linear(8, 8, shape=(64,)),
    "most of the input is not read": conv(64, 16, kernel_size=1, stride=3),
    "groups": conv(24, 16, groups=2),
    "transposed": called(lambda: nn.ConvTranspose2d(24, 16, 3), lambda last, x: last(x)),
    "called twice": called(square, lambda last, x: last(last(x).tanh())),
    "called side by side": called(square, lambda last, x: torch.cat([last(x), last(x.flip(0))])),
    "a matrix called twice": called(matrix, lambda last, x: last(last(x.movedim(1, -1)).tanh())),
    "its weight is penalised": called(square, lambda last, x: last(x) + last.weight.square().mean()),
    "its bias is used again": called(square, lambda last, x: last(x) + last.bias[:, None, None].exp()),
    "scaled products": called(
        matrix, lambda last, x: torch.addmm(last.bias, x.movedim(1, -1).reshape(-1, 24), last.weight, alpha=3.0)
    ),
    "a bias for every row": called(
        lambda: nn.ParameterList([torch.randn(40, 24), torch.randn(24, 24)]),
        lambda last, x: torch.addmm(last[0], x.movedim(1, -1).reshape(-1, 24), last[1]),
    ),
    "a weight that is multiplied by itself": called(
        lambda: nn.ParameterList([torch.randn(24, 24)]), lambda last, x: x.movedim(1, -1) @ (last[0] @ last[0])
    ),
    "two layers": called(lambda: nn.Sequential(square(), nn.Tanh(), square()), lambda last, x: last(x)),
    "with its normalisation": called(lambda: nn.Sequential(square(), nn.BatchNorm2d(24)), lambda last, x: last(x)),
    "a weight that is computed": called(
        lambda: nn.utils.parametrizations.weight_norm(square()), lambda last, x: last(x)
    ),
    "sparse input": called(matrix, lambda last, x: torch.mm(x.movedim(1, -1).reshape(-1, 24).to_sparse(), last.weight)),
    "of another kind": called(lambda: nn.LSTM(24, 8), lambda last, x: last(x.flatten(2).movedim(1, -1))[0]),
    "parts of two layers": parts_of_two_layers,
    "only a bias": only_a_bias,
    "double precision": in_double_precision,
}


class Listener:
    """Looks at every step at the last layer, where it wants single entries too."""

    at = Source.LAST_LAYER

    def __init__(self) -> None:
        self.heard: list[Measurement] = []

    def due(self) -> bool:
        return True

    def record(self, measurement: Measurement) -> None:
        self.heard.append(measurement)


def explicit(case: Case, tasks: Sequence[str] | None = None) -> Tensor:
    """The inner products of gradients that are formed task by task."""
    rows = [flat(found, case.layer) for found in task_gradients(case.losses(tasks), case.layer).values()]
    stacked = torch.stack(rows).double()
    return stacked @ stacked.T


def measured(balance: Balance) -> Tensor:
    """The inner products that a balancer tells of."""
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

    record = Method(name="entries", title="Entries", paper="none", sees=Source.LAST_LAYER, scale="absolute")

    def weigh(self, evidence: Evidence) -> Tensor:
        assert evidence.gradients is not None
        assert torch.equal(evidence.gradients.matrix(), evidence.rows)
        return evidence.rows.abs().amax(1)


@pytest.mark.parametrize("scale", [1.0, 256.0])
@pytest.mark.parametrize("make", [SHORT["ResNet"], SHORT["padded"]])
def test_methods_may_still_look_at_single_entries(make, scale):
    case = make()
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=scale != 1.0)
    balance = case.step(Entries(), scaler=scaler)
    gradients = task_gradients(case.losses(), case.layer)
    largest = {task: flat(found, case.layer).abs().max() for task, found in gradients.items()}
    torch.testing.assert_close(balance.weights, largest)


def test_a_probe_at_the_last_layer_is_told_of_single_entries():
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
