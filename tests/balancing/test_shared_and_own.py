"""Shared parameters receive the balanced gradient, a task's own the weighted or the plain one; `.grad` adds up."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

import equipoise

from .networks import Network, flat, network, task_gradients

PLACES = ("last_layer", "features", "shared")
every_place = pytest.mark.parametrize("place", PLACES)


def explicit(net: Network, inputs: Tensor, parameters: Sequence[Tensor]) -> dict[str, Tensor]:
    """The gradient of each loss at some parameters, [P]."""
    found = task_gradients(net.losses(net.encode(inputs)), parameters)
    return {task: flat(gradients, parameters) for task, gradients in found.items()}


def grads(parameters: Sequence[Tensor]) -> Tensor:
    return flat([parameter.grad for parameter in parameters], parameters)


@every_place
def test_shared_parameters_may_be_given_beside_features(place):
    """A layer that only one task uses receives the balanced update, as the trunk does, where `shared` names it."""
    net, inputs = network()
    named = net.heads["a"][0].weight
    balancer = equipoise.AvgNorm(measure_at=place, scale_heads=False)
    features = net.encode(inputs)
    losses = net.losses(features)
    balance = balancer.backward(losses, features=features, shared=[named], last_layer=net.last)
    assert abs(float(balance.weights["a"]) - 1) > 0.5
    trunk, own = net.shared(), [p for p in net.heads["a"].parameters() if p is not named]
    for parameters, weights in ((trunk, balance.weights), ([named], balance.weights), (own, dict.fromkeys("abc", 1.0))):
        expected = sum(weights[task] * row for task, row in explicit(net, inputs, parameters).items())
        torch.testing.assert_close(grads(parameters), expected)


def test_shared_parameters_given_beside_features_are_measured():
    net, inputs = network()
    named = net.heads["a"][0].weight
    features = net.encode(inputs)
    balance = equipoise.MGDA().backward(net.losses(features), features=features, shared=[named])
    for task, row in explicit(net, inputs, [*net.shared(), named]).items():
        torch.testing.assert_close(balance.norms[task], row.norm())
    assert explicit(net, inputs, [named])["a"].norm() > 0


@every_place
@pytest.mark.parametrize("cut", [True, False], ids=["features", "no features"])
@pytest.mark.parametrize("scale_heads", [True, False])
def test_weights_of_heads_stay_in_the_heads(place, cut, scale_heads):
    if place == "features" and not cut:
        pytest.skip("looks at the features")
    net, inputs = network()
    balancer = equipoise.AvgNorm(measure_at=place, scale_heads=scale_heads)
    features = net.encode(inputs)
    options = {"features": features} if cut else {}
    weights = balancer.backward(net.losses(features), last_layer=net.last, **options).weights
    assert max(abs(float(weight) - 1) for weight in weights.values()) > 0.5
    expected = sum(weights[task] * row for task, row in explicit(net, inputs, net.shared()).items())
    torch.testing.assert_close(grads(net.shared()), expected)
    for task, head in net.heads.items():
        own = list(head.parameters())
        expected = (weights[task] if scale_heads else 1.0) * explicit(net, inputs, own)[task]
        torch.testing.assert_close(grads(own), expected)


@every_place
def test_the_clipped_weights_are_those_of_the_shared_parameters(place):
    """Nash-MTL clips the update of the trunk; the heads are scaled with the weights before that."""
    net, inputs = network()
    features = net.encode(inputs)
    balancer = equipoise.NashMTL(max_norm=1e-3, measure_at=place)
    clipped = balancer.backward(net.losses(features), features=features, last_layer=net.last).weights
    received = grads(net.shared())
    expected = sum(clipped[task] * row for task, row in explicit(net, inputs, net.shared()).items())
    torch.testing.assert_close(received, expected)
    measured = {"shared": net.shared(), "last_layer": list(net.last.parameters())}
    if place == "features":
        found = net.encode(inputs)
        alone = [torch.autograd.grad(loss, found, retain_graph=True)[0] for loss in net.losses(found).values()]
        rows = torch.stack([gradient.reshape(-1) for gradient in alone])
    else:
        rows = torch.stack(list(explicit(net, inputs, measured[place]).values()))
    raw = equipoise.functional.nash_mtl(rows @ rows.T)
    torch.testing.assert_close(torch.stack(list(clipped.values())), raw * (1e-3 / (rows.T @ raw).norm()))
    for (task, head), weight in zip(net.heads.items(), raw, strict=True):
        own = list(head.parameters())
        torch.testing.assert_close(grads(own), weight * explicit(net, inputs, own)[task])


@every_place
@pytest.mark.parametrize("cut", [True, False], ids=["features", "no features"])
def test_what_grad_holds_before_a_step_is_added_to(place, cut):
    if place == "features" and not cut:
        pytest.skip("looks at the features")
    net, inputs = network()
    before = {}
    for number, parameter in enumerate(net.parameters()):
        parameter.grad = torch.full_like(parameter, 1.0 + number)
        before[parameter] = parameter.grad.clone()
    balancer = equipoise.AvgNorm(measure_at=place)
    total = {parameter: grad.clone() for parameter, grad in before.items()}
    for batch in (inputs, 0.5 * inputs):
        features = net.encode(batch)
        options = {"features": features} if cut else {}
        weights = balancer.backward(net.losses(features), last_layer=net.last, **options).weights
        loss = sum(weights[task] * found for task, found in net.losses(net.encode(batch)).items())
        for parameter, gradient in zip(total, torch.autograd.grad(loss, list(total)), strict=True):
            total[parameter] += gradient
    torch.testing.assert_close([parameter.grad for parameter in net.parameters()], list(total.values()))


def test_a_direction_is_added_to_grad_as_well():
    x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    x.grad = torch.tensor([10.0, 20.0, 30.0], dtype=torch.float64)
    rows = torch.tensor([[1.0, 2.0, 3.0], [4.0, 0.0, 1.0]], dtype=torch.float64)
    # Equal signs everywhere: GradDrop keeps every entry.
    equipoise.GradDrop().backward({"a": rows[0] @ x, "b": rows[1] @ x}, shared=[x])
    torch.testing.assert_close(x.grad, torch.tensor([15.0, 22.0, 34.0], dtype=torch.float64))


def test_gradients_of_two_balancers_add_up():
    """As where two losses of a batch are balanced apart: each call leaves what it found."""
    layer = nn.Linear(2, 2, bias=False).double()
    x = torch.ones(2, dtype=torch.float64)
    equipoise.create("fixed", weights={"a": 2.0}).backward({"a": layer(x)[0]})
    equipoise.create("fixed", weights={"b": 5.0}).backward({"b": layer(x)[1]})
    torch.testing.assert_close(layer.weight.grad, torch.tensor([[2.0, 2.0], [5.0, 5.0]], dtype=torch.float64))
