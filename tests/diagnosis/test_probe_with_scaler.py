"""A probe sees unscaled gradients, whatever the gradient scaler multiplies the losses by."""

import pytest
import torch
from torch import nn

import equipoise
from equipoise.diagnosis import Probe


def network():
    torch.manual_seed(0)
    trunk, heads = nn.Linear(5, 6), nn.ModuleDict({task: nn.Linear(6, 1) for task in "ab"})
    return trunk.double(), heads.double(), torch.randn(16, 5, dtype=torch.float64)


def rows_and_losses(trunk, heads, inputs, place):
    features = trunk(inputs).tanh()
    losses = {
        task: (number + 1) * (head(features) - 1).square().mean() for number, (task, head) in enumerate(heads.items())
    }
    at = [features] if place == "features" else list(trunk.parameters())
    rows = [torch.autograd.grad(loss, at, retain_graph=True) for loss in losses.values()]
    return features, losses, torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])


@pytest.mark.parametrize("around", ["a balancer", "any loop"])
@pytest.mark.parametrize("place", ["last_layer", "features", "shared"])
@pytest.mark.parametrize("name", ["uniform", "avgnorm", "pcgrad"])
def test_inner_products_are_those_of_unscaled_gradients(name, place, around):
    trunk, heads, inputs = network()
    features, losses, rows = rows_and_losses(trunk, heads, inputs, place)
    probe, scaler = Probe(every=1, at=place), torch.amp.GradScaler("cpu", init_scale=256.0)
    balancer, options = equipoise.create(name), {"features": features, "last_layer": trunk, "scaler": scaler}
    if around == "a balancer":
        weights = balancer.backward(losses, probe=probe, **options).weights
    else:
        with probe.step(losses, **options) as step:
            step.balance = balancer.backward(losses, **options)
            weights = step.balance.weights
    update = rows.T @ torch.stack([weights[task] for task in "ab"])
    if place != "features":
        received = torch.cat([parameter.grad.flatten() for parameter in trunk.parameters()])
        torch.testing.assert_close(received, 256 * update)
    found = probe.recorded().row(0, named=True)
    torch.testing.assert_close(torch.tensor(found["gram"], dtype=torch.float64).view(2, 2), rows @ rows.T)
    torch.testing.assert_close(torch.tensor(found["with_update"], dtype=torch.float64), rows @ update)
    assert found["update_square"] == pytest.approx(float(update @ update))
