"""Balancing networks whose decoders mix tasks: what is behind the shared features may still be of all tasks."""

import pytest
import torch
from torch import Tensor

import equipoise
from equipoise import models

NETWORKS = {
    "invpt": {"embed_dim": 24, "prediction_dim": 8},
    "taskprompter": {"size": (64, 64), "embed_dim": 8, "feature_dim": 8, "windows": 2, "levels": 3},
}


def network(name: str) -> models.MultiTaskModel:
    torch.manual_seed(0)
    return models.create(name, tasks={"seg": 3, "depth": 1, "edge": 1}, backbone="test_vit", **NETWORKS[name])


def losses_of(outputs: models.Outputs) -> dict[str, Tensor]:
    return {
        task: sum((made - 1).square().mean() for made in [prediction, *outputs.auxiliary.get(task, [])])
        for task, prediction in outputs.predictions.items()
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_uniform_through_the_features_is_the_plain_backward_pass(name):
    model, images = network(name).double(), torch.randn(2, 3, 64, 64, dtype=torch.float64)
    sum(losses_of(model(images)).values()).backward()
    expected = {key: parameter.grad.clone() for key, parameter in model.named_parameters()}
    model.zero_grad()
    outputs = model(images)
    equipoise.Uniform().backward(losses_of(outputs), features=outputs.shared)
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[key], msg=lambda found, key=key: f"{key}: {found}")


@pytest.mark.parametrize("method", ["avgnorm", "mgda", "pcgrad", "rotograd"])
@pytest.mark.parametrize("name", NETWORKS)
def test_methods_balance_it(name, method):
    model, balancer = network(name), equipoise.create(method)
    for _ in range(2):
        model.zero_grad()
        outputs = model(torch.randn(2, 3, 64, 64), balancer.adapt)
        balancer.backward(losses_of(outputs), features=outputs.shared, last_layer=model.last_shared_layer())
        for key, parameter in model.named_parameters():
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
    assert all(gradient.any() for gradient in (p.grad for p in model.last_shared_layer().parameters()))
