"""UPGrad: the mean of the gradients, each projected so that it conflicts with no task."""

from typing import Unpack

from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import Place
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import upgrad
from equipoise.balancing.gram_balancer import GramBalancer
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class UPGrad(GramBalancer):
    """The mean of the task gradients, each projected onto the directions that make no loss rise.

    The projections are exact. TorchJD, whose authors' method it is, adds a ridge, and returns the plain mean for small
    gradients. A zero gradient counts in the mean and constrains nothing.

    Args:
        measure_at: Where the gradients are looked at.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> _ = equipoise.UPGrad().backward({"a": x[0], "b": 2 * x[1] - x[0]})
        >>> x.grad
        tensor([0.4000, 1.2000])
    """

    record = Method(
        name="upgrad",
        title="Unconflicting projection of gradients",
        paper='Quinton and Rey, "Jacobian Descent for Multi-Objective Optimization", 2024',
        sees=Source.SHARED,
        scale="mean: T identical tasks give the gradient of one",
        heads="plain",
        state="count of unsolved steps",
        sources={"measure_at": "paper", "scale_heads": "TorchJD"},
    )
    mean_type = True

    def __init__(self, *, measure_at: Place = "shared", scale_heads: bool = False, **common: Unpack[Common]) -> None:
        super().__init__(measure_at=measure_at, scale_heads=scale_heads, **common)

    def solve(self, evidence: Evidence, gram: Tensor) -> Tensor:
        """The projections."""
        return upgrad(gram)
