"""CAGrad: the best worst-case improvement near the mean gradient."""

from typing import Literal, Unpack

from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import Place
from equipoise.balancing.checks import require
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import cagrad
from equipoise.balancing.gram_balancer import GramBalancer
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class CAGrad(GramBalancer):
    """The d with the largest min_i <g_i, d> within the distance c ||g_0|| of the mean gradient g_0.

    `rescale` divides it by 1 (0), by 1 + c^2 (1, the authors' code) or by 1 + c (2, with which identical tasks give the
    gradient of one); algorithm 1 of the paper and TorchJD do not divide. The authors' training code multiplies by T
    (`reduction="sum"`), LibMTL does not. SamsungLabs has `rescale=0`.

    Where the best worst case is no improvement at all (a Pareto-stationary point whose ball reaches that far, a zero
    gradient) the optimum is not unique: the one nearest to the mean gradient is taken. TorchJD takes zero, the authors'
    solver its own noise.

    Args:
        c: Radius relative to the mean gradient; convergence is proven below 1; 0 gives the mean. P1 has 0.5 or 0.4, P2
            searches 0.2, 0.5 and 0.8.
        rescale: 0, 1 or 2.
        reduction: "mean", or "sum" for T times that.
        measure_at: Where the gradients are looked at.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.CAGrad(rescale=0).backward({"a": x[0], "b": x[1]}).weights
        {'a': tensor(0.7000), 'b': tensor(0.7000)}
    """

    record = Method(
        name="cagrad",
        title="Conflict-averse gradient descent",
        paper='Liu et al., "Conflict-Averse Gradient Descent for Multi-task Learning", NeurIPS 2021, algorithm 1',
        sees=Source.SHARED,
        scale="mean, times (1 + c) / (1 + c^2)",
        heads="plain",
        state="count of unsolved steps",
        sources={
            "c": "paper, NYUv2",
            "rescale": "authors' code",
            "reduction": "paper",
            "measure_at": "paper",
            "scale_heads": "authors' code",
        },
    )
    mean_type = True

    def __init__(
        self,
        *,
        c: float = 0.4,
        rescale: Literal[0, 1, 2] = 1,
        reduction: Literal["mean", "sum"] = "mean",
        measure_at: Place = "shared",
        scale_heads: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(measure_at=measure_at, scale_heads=scale_heads, **common)
        require(0 <= c < float("inf"), "c", c, "be zero or more, and finite")
        require(rescale in (0, 1, 2), "rescale", rescale, "be 0, 1 or 2")
        require(reduction in ("mean", "sum"), "reduction", reduction, "be 'mean' or 'sum'")
        self.c, self.rescale, self.reduction = c, rescale, reduction

    def solve(self, evidence: Evidence, gram: Tensor) -> Tensor:
        """The optimum, rescaled."""
        divisor = (1.0, 1 + self.c**2, 1 + self.c)[self.rescale]
        return cagrad(gram, self.c) * ((len(gram) if self.reduction == "sum" else 1) / divisor)
