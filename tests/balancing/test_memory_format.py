"""The memory format of tensors, such as channels last, does not change the gradients."""

import pytest
import torch
from torch import nn

import equipoise

from .networks import TASKS, Network, context, label, step, variants


class Convolutions(Network):
    """The same network with convolutions, for images of three channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 6, 3, padding=1)
        self.heads = nn.ModuleDict(
            {task: nn.Sequential(nn.Conv2d(6, 4, 1), nn.Tanh(), nn.Conv2d(4, 1, 1)) for task in TASKS}
        )


@pytest.mark.parametrize("variant", variants(), ids=label)
def test_channels_last_gives_the_same_gradients(variant):
    name, arguments = variant
    gradients = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(3)
        net = Convolutions().double().to(memory_format=memory_format)
        images = torch.randn(8, 3, 4, 5, dtype=torch.float64).contiguous(memory_format=memory_format)
        balancer = equipoise.create(name, **arguments)
        for _ in range(2):
            net.zero_grad()
            now = context(balancer, net, images)
            step(balancer, net, images, context=now)
            balancer.after_step(now)
        assert net.encode(images).is_contiguous(memory_format=memory_format)
        gradients.append([parameter.grad for parameter in net.parameters()])
    for plain, channels_last in zip(*gradients, strict=True):
        torch.testing.assert_close(channels_last, plain, rtol=1e-9, atol=1e-12)
