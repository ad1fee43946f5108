"""Aligned-MTL: gradients made orthogonal and of equal length, then summed."""

from typing import Literal, Unpack

import torch
from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import Place
from equipoise.balancing.checks import require
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import aligned_mtl
from equipoise.balancing.gram_balancer import GramBalancer
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source

ScaleMode = Literal["min", "median", "rmse"]


class AlignedMTL(GramBalancer):
    """The sum of the closest orthogonal gradients, all of the length of the smallest singular value ("min").

    TorchJD takes the mean. Eigenvalues below the precision of the gradients (float32: about 1e-7 of the largest, as in
    the authors' code, float64: 2e-16; times T) are rounding and left out: two tasks with all but identical gradients
    would otherwise make the smallest singular value, and with it the step, vanish.

    Args:
        scale_mode: The common squared length: "min", the lower "median", or the mean ("rmse") of the eigenvalues.
        measure_at: Where the gradients are looked at.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.AlignedMTL().backward({"a": 2 * x[0], "b": x[1]}).weights
        {'a': tensor(0.5000), 'b': tensor(1.)}
    """

    record = Method(
        name="aligned_mtl",
        title="Aligned-MTL",
        paper='Senushkin et al., "Independent Component Alignment for Multi-Task Learning", CVPR 2023',
        sees=Source.SHARED,
        scale="sum: T identical tasks give T times the gradient of one",
        heads="plain",
        state="count of unsolved steps",
        sources={"scale_mode": "paper", "measure_at": "paper", "scale_heads": "authors' code"},
    )

    def __init__(
        self,
        *,
        scale_mode: ScaleMode = "min",
        measure_at: Place = "shared",
        scale_heads: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(measure_at=measure_at, scale_heads=scale_heads, **common)
        known = ("min", "median", "rmse")
        require(scale_mode in known, "scale_mode", scale_mode, f"be one of {', '.join(known)}")
        self.scale_mode = scale_mode

    def solve(self, evidence: Evidence, gram: Tensor) -> Tensor:
        """The weights, which do not depend on the scale of the Gram matrix."""
        precision = torch.float64 if evidence.gradients is None else evidence.gradients.dtype
        return aligned_mtl((gram / gram.diagonal().max()).to(precision), self.scale_mode)
