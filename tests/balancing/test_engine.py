"""`.grad` equals what torch.autograd.grad finds task by task, whatever the network looks like."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import equipoise
from equipoise import NonFiniteError
from equipoise.balancing import DirectionBalancer, MethodInfo, Place, StepInputs

from .networks import assert_grads_match, flat, network, step, task_gradients


@dataclass
class Case:
    """One forward pass: the modules, what the heads read, the losses, and the last layer that all tasks share."""

    net: nn.Module
    features: list[Tensor]
    losses: dict[str, Tensor]
    last_layer: nn.Module


def trunk(**sizes: tuple[int, int]) -> nn.ModuleDict:
    torch.manual_seed(1)
    sizes = {"first": (4, 6), "second": (6, 6), "a": (6, 1), "b": (6, 1)} | sizes
    return nn.ModuleDict({name: nn.Linear(*size) for name, size in sizes.items()}).double()


def images() -> Tensor:
    torch.manual_seed(2)
    return torch.randn(7, 4, dtype=torch.float64)


def two_features() -> Case:
    net = trunk(other=(4, 6))
    one, two = net["second"](net["first"](images()).tanh()).tanh(), net["other"](images()).tanh()
    losses = {"a": net["a"](one + two).square().mean(), "b": net["b"](one * two).exp().mean()}
    return Case(net, [one, two], losses, net["first"])


def nested_features() -> Case:
    net = trunk()
    early = net["first"](images()).tanh()
    late = net["second"](early).tanh()
    losses = {"a": net["a"](early).square().mean(), "b": net["b"](late + early).exp().mean()}
    return Case(net, [early, late], losses, net["first"])


def several_depths_through_views() -> Case:
    net = trunk()
    early = net["first"](images()).tanh()
    for_heads = early.view_as(early)
    late = net["second"](early).tanh()
    losses = {"a": net["a"](for_heads).square().mean(), "b": net["b"](late + for_heads).exp().mean()}
    return Case(net, [for_heads, late], losses, net["first"])


def the_same_feature_twice() -> Case:
    net = trunk()
    shared = net["second"](net["first"](images()).tanh()).tanh()
    losses = {"a": net["a"](shared).square().mean(), "b": net["b"](shared).exp().mean()}
    return Case(net, [shared, shared], losses, net["second"])


def a_feature_that_one_task_does_not_read() -> Case:
    net = trunk()
    one, two = net["second"](net["first"](images()).tanh()).tanh().chunk(2)
    losses = {"a": net["a"](one).square().mean(), "b": net["b"](two).exp().mean()}
    return Case(net, [one, two], losses, net["second"])


def features_from_one_node() -> Case:
    net = trunk()
    one, two = net["second"](net["first"](images()).tanh()).chunk(2, dim=1)
    losses = {
        "a": net["a"](torch.cat([one, two], 1)).square().mean(),
        "b": net["b"](torch.cat([two, one], 1)).exp().mean(),
    }
    return Case(net, [one, two], losses, net["second"])


def an_output_that_is_not_named() -> Case:
    case = features_from_one_node()
    return Case(case.net, case.features[:1], case.losses, case.last_layer)


def a_head_that_goes_round_the_features() -> Case:
    net = trunk()
    early = net["first"](images()).tanh()
    late = net["second"](early).tanh()
    losses = {"a": net["a"](late).square().mean(), "b": net["b"](late).exp().mean() + early.square().mean()}
    return Case(net, [late], losses, net["first"])


def one_task_that_goes_round_the_features() -> Case:
    case = a_head_that_goes_round_the_features()
    return Case(case.net, case.features, {"b": case.losses["b"]}, case.last_layer)


def a_weight_in_trunk_and_head() -> Case:
    net = trunk()
    shared = net["second"](net["first"](images()).tanh()).tanh()
    losses = {"a": net["a"](shared @ net["second"].weight).square().mean(), "b": net["b"](shared).exp().mean()}
    return Case(net, [shared], losses, net["second"])


def heads_with_a_common_layer() -> Case:
    net = trunk(common=(6, 6))
    shared = net["second"](net["first"](images()).tanh()).tanh()
    losses = {
        "a": net["a"](net["common"](shared).tanh()).square().mean(),
        "b": net["b"](net["common"](shared).sin()).exp().mean(),
    }
    return Case(net, [shared], losses, net["second"])


def heads_with_a_common_node() -> Case:
    net = trunk(common=(6, 6))
    shared = net["second"](net["first"](images()).tanh()).tanh()
    mixed = net["common"](shared).tanh()
    losses = {"a": net["a"](mixed).square().mean(), "b": net["b"](mixed).exp().mean()}
    return Case(net, [shared], losses, net["second"])


def a_partly_frozen_trunk() -> Case:
    net = trunk()
    net["first"].requires_grad_(False)
    shared = net["second"](net["first"](images()).tanh()).tanh()
    losses = {"a": net["a"](shared).square().mean(), "b": net["b"](shared).exp().mean()}
    return Case(net, [shared], losses, net["second"])


def a_frozen_head() -> Case:
    net = trunk()
    net["a"].requires_grad_(False)
    shared = net["second"](net["first"](images()).tanh()).tanh()
    losses = {"a": net["a"](shared).square().mean(), "b": net["b"](shared).exp().mean()}
    return Case(net, [shared], losses, net["second"])


def unused_parameters() -> Case:
    net = trunk(unused=(3, 3))
    shared = net["second"](net["first"](images()).tanh()).tanh()
    losses = {"a": net["a"](shared).square().mean(), "b": net["b"](shared).exp().mean()}
    return Case(net, [shared], losses, net["second"])


def batch_normalisation() -> Case:
    net = trunk()
    net["norm"] = nn.BatchNorm1d(6).double()
    shared = net["norm"](net["second"](net["first"](images()).tanh())).tanh()
    losses = {"a": net["a"](shared).square().mean(), "b": net["b"](shared).exp().mean()}
    return Case(net, [shared], losses, net["second"])


def activation_checkpointing() -> Case:
    net = trunk()
    hidden = checkpoint(lambda x: net["first"](x).tanh(), images(), use_reentrant=False)
    shared = checkpoint(lambda x: net["second"](x).tanh(), hidden, use_reentrant=False)
    losses = {
        "a": checkpoint(net["a"], shared, use_reentrant=False).square().mean(),
        "b": checkpoint(net["b"], shared, use_reentrant=False).exp().mean(),
    }
    return Case(net, [shared], losses, net["second"])


def losses_of_one_entry() -> Case:
    case = unused_parameters()
    return Case(
        case.net, case.features, {"a": case.losses["a"][None], "b": case.losses["b"][None, None]}, case.last_layer
    )


def a_parameter_of_the_loss() -> Case:
    net = trunk()
    net.register_parameter("spread", nn.Parameter(torch.tensor(0.3, dtype=torch.float64)))
    shared = net["second"](net["first"](images()).tanh()).tanh()
    losses = {"a": net["a"](shared).square().mean() * net.spread.exp(), "b": net["b"](shared).exp().mean()}
    return Case(net, [shared], losses, net["second"])


CASES: list[Callable[[], Case]] = [
    two_features,
    nested_features,
    several_depths_through_views,
    the_same_feature_twice,
    a_feature_that_one_task_does_not_read,
    features_from_one_node,
    an_output_that_is_not_named,
    a_head_that_goes_round_the_features,
    one_task_that_goes_round_the_features,
    a_weight_in_trunk_and_head,
    heads_with_a_common_layer,
    heads_with_a_common_node,
    a_partly_frozen_trunk,
    a_frozen_head,
    unused_parameters,
    batch_normalisation,
    activation_checkpointing,
    losses_of_one_entry,
    a_parameter_of_the_loss,
]
NO_CLEAN_CUT = {
    nested_features,
    an_output_that_is_not_named,
    a_head_that_goes_round_the_features,
    one_task_that_goes_round_the_features,
    a_weight_in_trunk_and_head,
}

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)


def balancers() -> dict[str, equipoise.Balancer]:
    return {
        "losses": equipoise.create("fixed", weights={"a": 3.0, "b": 0.25}),
        "last layer": equipoise.create("avgnorm"),
        "features": equipoise.create("avgnorm", measure_at="features"),
        "shared": equipoise.create("avgnorm", measure_at="shared"),
    }


@every_case
@pytest.mark.parametrize("place", list(balancers()))
@pytest.mark.parametrize("cut", [True, False], ids=["features", "no features"])
@pytest.mark.parametrize("retain", [False, True], ids=["freed", "retained"])
def test_grad_equals_the_explicit_computation(case, place, cut, retain):
    balancer = balancers()[place]
    made, repeated = case(), case()
    if place == "features" and (not cut or case in NO_CLEAN_CUT):
        with pytest.raises(ValueError, match="`features` should hold"):
            balancer.backward(made.losses, features=made.features if cut else None, last_layer=made.last_layer)
        return
    options = {"features": made.features} if cut else {}
    rounds = 2 if retain else 1
    for _ in range(rounds):
        balance = balancer.backward(made.losses, last_layer=made.last_layer, retain_graph=retain, **options)
    for other, parameter in zip(repeated.net.parameters(), made.net.parameters(), strict=True):
        other.grad = None if parameter.grad is None else parameter.grad / rounds
    losses = {task: loss.sum() for task, loss in repeated.losses.items()}
    assert_grads_match(repeated.net, balance.weights, losses, rtol=1e-9, atol=1e-12)


def test_measured_gradients_are_those_of_the_parts_that_a_method_looks_at():
    net, inputs = network()
    for place, parameters in {"last_layer": list(net.last.parameters()), "shared": net.shared()}.items():
        net.zero_grad()
        balance = step(equipoise.create("avgnorm", measure_at=place), net, inputs)
        alone = task_gradients(net.losses(net.encode(inputs)), parameters)
        rows = torch.stack([flat(alone[task], parameters) for task in alone])
        torch.testing.assert_close(torch.stack(list(balance.norms.values())), rows.norm(dim=1))
        unit = torch.nn.functional.normalize(rows)
        torch.testing.assert_close(balance.cosines, unit @ unit.T)


def test_explicitly_shared_parameters_are_the_shared_ones():
    net, inputs = network()
    balancer = equipoise.create("avgnorm", measure_at="shared", scale_heads=False)
    features = net.encode(inputs)
    balance = balancer.backward(net.losses(features), shared=iter(net.last.parameters()))
    alone = task_gradients(net.losses(net.encode(inputs)), [net.first.weight, net.last.weight])
    plain = sum(gradients[0] for gradients in alone.values())
    weighted = sum(balance.weights[task] * gradients[1] for task, gradients in alone.items())
    torch.testing.assert_close(net.first.weight.grad, plain)
    torch.testing.assert_close(net.last.weight.grad, weighted)


def test_a_feature_may_be_a_leaf():
    features = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    head = nn.Linear(4, 1).double()
    for place in ("features", "shared"):
        features.grad = None
        losses = {"a": head(features).square().mean(), "b": 3 * features.square().sum()}
        balance = equipoise.create("avgnorm", measure_at=place).backward(losses, features=features)
        losses = {"a": head(features).square().mean(), "b": 3 * features.square().sum()}
        expected = torch.autograd.grad(sum(balance.weights[task] * loss for task, loss in losses.items()), features)
        torch.testing.assert_close(features.grad, expected[0])


def test_a_wholly_frozen_trunk_leaves_heads_to_train():
    net, inputs = network()
    for parameter in net.shared():
        parameter.requires_grad_(False)
    step(equipoise.create("uniform"), net, inputs)
    assert all(parameter.grad is not None for parameter in net.heads.parameters())
    for place, named in {
        "shared": "`features` or `shared`",
        "features": "`features`",
        "last_layer": "`last_layer`",
    }.items():
        with pytest.raises(ValueError, match=named):
            step(equipoise.create("avgnorm", measure_at=place), net, inputs)


def test_features_that_no_head_reads_are_refused():
    net, inputs = network()
    features = net.encode(inputs)
    with pytest.raises(ValueError, match="`features` should be the tensors that the task heads read"):
        equipoise.create("uniform").backward(net.losses(features), features=features * 2)


def test_a_last_layer_that_a_task_does_not_reach_is_refused():
    net, inputs = network()
    features = net.encode(inputs)
    with pytest.raises(ValueError, match="`a` does not"):
        equipoise.create("avgnorm").backward(net.losses(features), features=features, last_layer=net.heads["a"])
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize("place", list(balancers()))
@pytest.mark.parametrize("cut", [True, False], ids=["features", "no features"])
def test_hooks_fire_once_on_the_final_gradient(place, cut):
    if place == "features" and not cut:
        pytest.skip("measures at the features")
    heard: dict[str, int] = {}

    def hook(name: str, factor: float):
        def double(gradient: Tensor) -> Tensor:
            heard[name] = heard.get(name, 0) + 1
            return factor * gradient

        return double

    grads = []
    for factor in (1.0, 2.0):
        heard.clear()
        case = unused_parameters()
        arrived = []
        case.net["second"].weight.register_hook(hook("shared", factor))
        case.net["a"].weight.register_hook(hook("own", factor))
        case.net["second"].weight.register_post_accumulate_grad_hook(
            lambda leaf, to=arrived: to.append(leaf.grad.clone())
        )
        options = {"features": case.features} if cut else {}
        balancers()[place].backward(case.losses, last_layer=case.last_layer, **options)
        assert heard == {"shared": 1, "own": 1}
        assert len(arrived) == 1
        grads.append(torch.cat([case.net["second"].weight.grad.reshape(-1), case.net["a"].weight.grad.reshape(-1)]))
    torch.testing.assert_close(grads[1], 2 * grads[0])


@pytest.mark.parametrize("losses", [{}, {"a": torch.ones(())}, {"a": torch.ones(2, requires_grad=True)}, {"a": 1.0}])
def test_wrong_losses_are_refused(losses):
    with pytest.raises(ValueError, match="losses"):
        equipoise.create("uniform").backward(losses)


@pytest.mark.parametrize("place", list(balancers()))
def test_a_nan_that_only_one_head_sees_is_refused_by_name(place):
    case = unused_parameters()
    own = case.net["b"].bias
    case.losses["b"] = case.losses["b"] + ((own - own.detach()) * 0).square().sum().sqrt()
    with pytest.raises(NonFiniteError) as caught:
        balancers()[place].backward(case.losses, features=case.features, last_layer=case.last_layer)
    assert caught.value.tasks == ("b",)
    assert all(parameter.grad is None for parameter in case.net.parameters())


def test_large_finite_gradients_are_no_reason_to_refuse():
    x = torch.ones(3, requires_grad=True)
    equipoise.create("uniform").backward({"a": (x * 1e30).sum()})
    torch.testing.assert_close(x.grad, torch.full((3,), 1e30))


def test_backward_works_under_no_grad_as_that_of_a_tensor_does():
    net, inputs = network()
    features = net.encode(inputs)
    losses = net.losses(features)
    with torch.no_grad():
        equipoise.create("avgnorm").backward(losses, features=features, last_layer=net.last)
    assert all(parameter.grad is not None for parameter in net.parameters())


class Largest(DirectionBalancer):
    """A direction that is no weighted sum: in every entry the largest task gradient."""

    info = MethodInfo(name="largest", title="Largest", paper="none", default_place=Place.SHARED, scale="absolute")

    def direct(self, inputs: StepInputs) -> Tensor:
        return inputs.rows.gather(0, inputs.rows.abs().argmax(0, keepdim=True))[0]


@pytest.mark.parametrize("scale", [1.0, 256.0])
def test_directions(scale):
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=scale != 1.0)
    net, inputs = network()
    balance = step(Largest(), net, inputs, scaler=scaler)
    assert balance.weights is None
    alone = task_gradients(net.losses(net.encode(inputs)), net.shared())
    rows = torch.stack([flat(gradients, net.shared()) for gradients in alone.values()])
    expected = scale * rows.gather(0, rows.abs().argmax(0, keepdim=True))[0]
    torch.testing.assert_close(flat([p.grad for p in net.shared()], net.shared()), expected)

    net.zero_grad()
    step(Largest(measure_at="features"), net, inputs, scaler=scaler)
    features = net.encode(inputs)
    at = [torch.autograd.grad(loss, features, retain_graph=True)[0] for loss in net.losses(features).values()]
    seed = torch.stack(at).gather(0, torch.stack(at).abs().argmax(0, keepdim=True))[0]
    expected_trunk = torch.autograd.grad(features, net.shared(), scale * seed)
    torch.testing.assert_close([p.grad for p in net.shared()], list(expected_trunk))


class CountedTrunk(torch.autograd.Function):
    """The identity, with a counter of backward passes."""

    passes: dict[str, int] = {}  # noqa: RUF012

    @staticmethod
    def forward(ctx, tensor, name):
        ctx.name = name
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx, gradient):
        CountedTrunk.passes[ctx.name] = CountedTrunk.passes.get(ctx.name, 0) + 1
        return gradient, None


@pytest.mark.parametrize(
    ("place", "cut", "trunk_passes", "head_passes"),
    [
        ("losses", True, 1, 1),
        ("losses", False, 1, 1),
        ("last layer", True, 1, 1),
        ("last layer", False, 1, 2),
        ("features", True, 1, 1),
        ("shared", True, 3, 1),
        ("shared", False, 3, 1),
    ],
)
def test_what_is_differentiated_how_often(place, cut, trunk_passes, head_passes):
    CountedTrunk.passes = {}
    net, inputs = network()
    hidden = CountedTrunk.apply(net.first(inputs), "trunk")
    features = net.last(hidden.tanh()).tanh()
    losses = {task: CountedTrunk.apply(loss, task) for task, loss in net.losses(features).items()}
    balancer = balancers()[place] if place != "losses" else equipoise.create("uniform")
    balancer.backward(losses, last_layer=net.last, **({"features": features} if cut else {}))
    assert CountedTrunk.passes == {"trunk": trunk_passes, **dict.fromkeys(losses, head_passes)}
