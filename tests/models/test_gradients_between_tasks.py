"""Networks whose tasks read each other's features: what serves several tasks without being trunk is balanced too."""

import pytest
import torch
from torch import nn

import equipoise
from equipoise import models
from equipoise.tasks import Output

TASKS = {"seg": Output(3, categories=3), "depth": Output(1, categories=4), "edge": Output(1, categories=2)}
NETWORKS = {
    "pad_net": {"width": 8},
    "mti_net": {"pyramid": 16},
    "atrc": {"width": 8},
    "atrc-search": {"width": 8, "relations": "search"},
}


@pytest.fixture(params=NETWORKS)
def network(request):
    """A network in training mode and double precision, its losses and its shared tensors."""
    torch.manual_seed(0)
    model = models.create(request.param.split("-")[0], tasks=TASKS, backbone="test_resnet", **NETWORKS[request.param])
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine and not module.weight.any():
            nn.init.ones_(module.weight)
    outputs = model.double()(torch.randn(2, 3, 64, 64, dtype=torch.float64))
    losses = {}
    for task, prediction in outputs.predictions.items():
        loss = sum(one.square().mean() for one in [prediction, *outputs.auxiliary.get(task, [])])
        for logits in outputs.categorical.get(task, []):
            loss = loss + nn.functional.cross_entropy(logits, torch.zeros(2, 64, 64, dtype=torch.int64))
        losses[task] = loss
    return model, losses, outputs.shared


def compare(model: nn.Module, expected: dict[str, torch.Tensor]) -> None:
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
        # The absolute tolerance is for biases before a normalisation, whose gradients are zero but for rounding.
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-5, atol=1e-12, msg=name)


def test_uniform_is_the_plain_sum(network):
    model, losses, shared = network
    names, parameters = zip(*model.named_parameters(), strict=True)
    expected = torch.autograd.grad(sum(losses.values()), parameters, retain_graph=True)
    equipoise.Uniform().backward(losses, features=shared)
    compare(model, dict(zip(names, expected, strict=True)))


@pytest.mark.parametrize("place", ["shared", "features"])
def test_weights_of_task_gradients_reach_all_that_serves_several_tasks(network, place):
    model, losses, shared = network
    parameters = dict(model.named_parameters())
    gradients = {
        task: torch.autograd.grad(loss, parameters.values(), retain_graph=True, allow_unused=True)
        for task, loss in losses.items()
    }
    balance = equipoise.MGDA(measure_at=place).backward(losses, features=shared)
    common = {id(parameter) for parameter in model.shared_parameters()}
    expected = {}
    for number, (name, parameter) in enumerate(parameters.items()):
        found = [(task, g[number]) for task, g in gradients.items() if g[number] is not None]
        assert len(found) == (len(losses) if id(parameter) in common else 1), name
        # The tasks' own parameters get their plain gradient.
        weights = balance.weights if id(parameter) in common else dict.fromkeys(losses, 1.0)
        expected[name] = sum(weights[task] * gradient for task, gradient in found)
    compare(model, expected)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("mgda", {"measure_at": "shared"}),
        ("mgda", {"measure_at": "features"}),
        ("avgnorm", {}),
        ("fixed", {"weights": {"seg": 2.0, "depth": 0.5, "edge": 7.0}}),
    ],
)
def test_what_serves_several_tasks_may_receive_the_plain_sum(network, method, options):
    model, losses, shared = network
    parameters = dict(model.named_parameters())
    gradients = {
        task: torch.autograd.grad(loss, parameters.values(), retain_graph=True, allow_unused=True)
        for task, loss in losses.items()
    }
    trunk = {id(p) for p, g in zip(parameters.values(), _of_features(shared, parameters), strict=True) if g is not None}
    common = {id(parameter) for parameter in model.shared_parameters()}
    assert trunk < common
    balancer = equipoise.create(method, **options, between_tasks="summed")
    balance = balancer.backward(losses, features=shared, last_layer=model.last_shared_layer())
    ones = dict.fromkeys(losses, 1.0)
    own = ones if method == "mgda" else balance.weights
    expected = {}
    for number, (name, parameter) in enumerate(parameters.items()):
        found = [(task, g[number]) for task, g in gradients.items() if g[number] is not None]
        weights = balance.weights if id(parameter) in trunk else ones if id(parameter) in common else own
        expected[name] = sum(weights[task] * gradient for task, gradient in found)
    compare(model, expected)


def _of_features(shared, parameters):
    """Gradients of the parameters that the features depend on, none for those that lie behind."""
    total = sum(feature.square().sum() for feature in shared)
    return torch.autograd.grad(total, parameters.values(), retain_graph=True, allow_unused=True)


@pytest.mark.parametrize("method", ["pcgrad", "graddrop", "rotograd", "avgnorm"])
def test_other_ways_of_balancing_work(network, method):
    model, losses, shared = network
    balancer = equipoise.create(method)
    balancer.backward(losses, features=shared, last_layer=model.last_shared_layer())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
