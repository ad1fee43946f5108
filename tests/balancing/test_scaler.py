"""Methods that train something of their own learn the same under a gradient scaler."""

import pytest
import torch
from torch import Tensor

import equipoise
from equipoise.balancing import Need, all_methods

from .networks import ARGUMENTS, context, network, step

NAMES = sorted(name for name, method in all_methods().items() if method.info.needs & {Need.AFTER_STEP, Need.ADAPT})


def trained(name: str, scale: float) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """The network after three steps, and what the balancer told of each."""
    net, inputs = network()
    balancer = equipoise.create(name, **ARGUMENTS.get(name, {}))
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-3)
    scaler = None if scale == 1 else torch.amp.GradScaler("cpu", init_scale=scale)
    told = []
    for factor in (1.0, 0.8, 1.2):
        around = context(balancer, net, factor * inputs, optimiser=optimiser)
        optimiser.zero_grad()
        balance = step(balancer, net, factor * inputs, context=around, scaler=scaler)
        told.append(balance.losses)
        for parameter in net.parameters():
            parameter.grad /= scale
        optimiser.step()
        balancer.after_step(around)
    return [parameter.detach() for parameter in net.parameters()], told


@pytest.mark.parametrize("name", NAMES)
def test_training_under_a_scaler_is_that_without(name):
    plain, scaled = trained(name, 1.0), trained(name, 1024.0)
    torch.testing.assert_close(scaled[0], plain[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(scaled[1], plain[1], rtol=1e-9, atol=1e-12)
