"""MoDo: a projected step on the weights with gradients of two independent batches."""

from typing import Literal, Unpack

from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.checks import require
from equipoise.balancing.context import Need
from equipoise.balancing.cross_gram_balancer import CrossGramBalancer
from equipoise.balancing.functional import modo
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class MoDo(CrossGramBalancer):
    """Simplex weights that follow the minimum-norm problem by one unbiased projected step at a time.

    Source: Chen, Fernando et al., "Three-Way Trade-Off in Multi-Objective Learning: Optimization, Generalization and
    Conflict-Avoidance", NeurIPS 2023, algorithm 1. Two further batches give the step on the weights, and the batch of
    the step is what they weigh (so also LibMTL). The paper saves that third batch by weighing the mean of the first
    two, which the update then depends on in two ways.

    Args:
        rate: gamma, positive; LibMTL has 0.001. Not free of units: gradients c times as long need gamma / c^2.
        regularization: rho, non-negative.
        batches: 3 independent batches, or 1 for the deterministic form, which needs no context.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Example:
        >>> import torch, equipoise
        >>> layer = torch.nn.Linear(2, 2, bias=False)
        >>> a, b = layer(torch.ones(1, 2))[0]
        >>> balance = equipoise.MoDo(batches=1).backward({"a": a, "b": 3 * b}, shared=layer.parameters())
        >>> balance.weights["a"] > balance.weights["b"]
        tensor(True)
    """

    record = Method(
        name="modo",
        title="MoDo",
        paper='Chen, Fernando et al., "Three-Way Trade-Off in Multi-Objective Learning", NeurIPS 2023, algorithm 1',
        sees=Source.SHARED,
        scale="simplex: T identical gradients give one of them",
        heads="plain",
        state="simplex weights",
        sources={
            "rate": "the authors' code: 0.1",
            "regularization": "the authors' code: 0.1",
            "batches": "LibMTL: 3",
            "scale_heads": "no; the paper has shared parameters only",
        },
        needs=frozenset({Need.FURTHER}),
    )

    def __init__(
        self,
        *,
        rate: float = 0.1,
        regularization: float = 0.1,
        batches: Literal[1, 3] = 3,
        scale_heads: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(batches=batches, scale_heads=scale_heads, **common)
        require(rate > 0, "rate", rate, "be positive")
        require(regularization >= 0, "regularization", regularization, "be non-negative")
        self.rate, self.regularization = rate, regularization

    def solve(self, cross: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """One step; its weights are the update's."""
        weights = modo(cross, shares, self.rate, self.regularization)
        return weights, weights
