"""Problems whose task gradients are known: losses that are linear or quadratic in a single vector of parameters."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import equipoise
from equipoise import Balance, Balancer

# Every method of this folder that needs no second forward pass, with what makes its state matter within a few steps.
METHODS: dict[str, dict[str, Any]] = {
    "rlw": {},
    "uw": {},
    "dwa": {"window": 3},
    "dtp": {},
    "si": {},
    "imtl_l": {},
    "stch": {"window": 3, "warmup_epochs": 1},
    "gls": {},
    "gradnorm": {},
    "mgda": {},
    "pcgrad": {},
    "cagrad": {},
    "gradvac": {"beta": 0.1},
    "graddrop": {},
    "imtl_g": {},
    "imtl": {},
    "aligned_mtl": {},
    "nash_mtl": {"every": 2},
    "fairgrad": {},
    "upgrad": {},
    "edm": {},
    "cdtt": {},
    "moco": {"beta": 0.5},
    "db_mtl": {},
    "excess_mtl": {},
    "config": {},
}


def create(name: str, **options: Any) -> Balancer:
    return equipoise.create(name, **{**METHODS[name], **options})


def linear_step(
    balancer: Balancer, jacobian: Tensor, losses: Tensor | None = None, tasks: Sequence[str] | None = None
) -> tuple[Tensor, Balance]:
    """A step on losses with these values and these gradients, [T, D], at one vector of shared parameters."""
    x = torch.zeros(jacobian.shape[1], dtype=jacobian.dtype, requires_grad=True)
    values = torch.ones_like(jacobian[:, 0]) if losses is None else losses
    names = [f"task{number}" for number in range(len(jacobian))] if tasks is None else tasks
    found = {name: row @ x + value for name, row, value in zip(names, jacobian, values, strict=True)}
    balance = balancer.backward(found, shared=[x], last_layer=x)
    assert x.grad is not None
    return x.grad, balance


def weights_of(balance: Balance) -> Tensor:
    assert balance.weights is not None
    return torch.stack(list(balance.weights.values()))


class Quadratics:
    """Three bowls in four dimensions with different centres, axes and steepness: no point is best for two of them."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(4)
        self.centres = torch.randn(3, 4, dtype=torch.float64, generator=generator)
        self.axes = 0.2 + torch.rand(3, 4, dtype=torch.float64, generator=generator)
        # From here EDM leaves out a task for a while, which IMTL-G does not; otherwise the two are the same method.
        self.start = torch.tensor([0.6, 2.2, 1.4, 1.2], dtype=torch.float64)

    def losses(self, x: Tensor) -> dict[str, Tensor]:
        values = 0.1 + (self.axes * (x - self.centres) ** 2).sum(1) / 2
        return dict(zip("abc", values * torch.tensor([0.5, 1.0, 3.0], dtype=x.dtype), strict=True))

    def gradients(self, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.stack([torch.autograd.grad(loss, x, retain_graph=True)[0] for loss in self.losses(x).values()])

    def descend(self, balancer: Balancer, steps: int = 200, rate: float = 0.3) -> list[Tensor]:
        """The points visited by gradient descent whose steps become shorter."""
        x = self.start.clone().requires_grad_()
        visited = []
        for step in range(steps):
            x.grad = None
            balancer.backward(self.losses(x), shared=[x], last_layer=x)
            assert x.grad is not None
            with torch.no_grad():
                x -= rate / (1 + step / 10) * x.grad
            visited.append(x.detach().clone())
        return visited
