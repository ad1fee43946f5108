"""SDMGrad: MGDA near the mean, with gradients of independent batches."""

from typing import Literal, Unpack

from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.checks import require
from equipoise.balancing.context import Need
from equipoise.balancing.cross_gram_balancer import CrossGramBalancer
from equipoise.balancing.functional import sdmgrad
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class SDMGrad(CrossGramBalancer):
    """The common descent direction that stays near the mean of the task gradients, without the bias of one batch.

    Source: Xiao, Ban and Ji, "Direction-oriented Multi-objective Learning: Simple and Provable Stochastic Algorithms",
    NeurIPS 2023, algorithm 1. The weights (w + lambda / T) / (1 + lambda), which sum to 1, follow from a few projected
    steps on the simplex weights w, from where the last step left them. The authors' code multiplies the update by T.
    It also has, by an error, one batch in all three places, so that their numbers are those of `batches=1`.

    Args:
        regularization: lambda, non-negative; large values give the mean.
        steps: Number of inner steps.
        rate: Learning rate of the inner steps; LibMTL has 5.
        momentum: Momentum of the inner steps, in [0, 1).
        batches: 3 independent batches, or 1 for the deterministic form, which needs no context.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Example:
        >>> import torch, equipoise
        >>> layer = torch.nn.Linear(2, 2, bias=False)
        >>> a, b = layer(torch.ones(1, 2))[0]
        >>> balance = equipoise.SDMGrad(batches=1).backward({"a": a, "b": 3 * b}, shared=layer.parameters())
        >>> float(sum(balance.weights.values()))
        1.0
    """

    record = Method(
        name="sdmgrad",
        title="SDMGrad",
        paper='Xiao, Ban and Ji, "Direction-oriented Multi-objective Learning", NeurIPS 2023, algorithm 1',
        sees=Source.SHARED,
        scale="simplex: T identical gradients give one of them",
        heads="plain",
        state="simplex weights",
        sources={
            "regularization": "the authors' scripts: 0.3",
            "steps": "the authors' code: 20",
            "rate": "the authors' code: 10",
            "momentum": "the authors' code: 0.5",
            "batches": "the paper: 3",
            "scale_heads": "the authors' code: no",
        },
        needs=frozenset({Need.FURTHER}),
    )

    def __init__(
        self,
        *,
        regularization: float = 0.3,
        steps: int = 20,
        rate: float = 10.0,
        momentum: float = 0.5,
        batches: Literal[1, 3] = 3,
        scale_heads: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(batches=batches, scale_heads=scale_heads, **common)
        require(0 <= regularization < float("inf"), "regularization", regularization, "be non-negative and finite")
        require(steps >= 1, "steps", steps, "be at least 1")
        require(rate > 0, "rate", rate, "be positive")
        require(0 <= momentum < 1, "momentum", momentum, "be in [0, 1)")
        self.regularization, self.steps, self.rate, self.momentum = regularization, steps, rate, momentum

    def solve(self, cross: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """The inner steps."""
        return sdmgrad(cross, shares, self.regularization, steps=self.steps, rate=self.rate, momentum=self.momentum)
