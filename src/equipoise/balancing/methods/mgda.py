"""MGDA: the convex combination of the gradients of least norm."""

from typing import Literal, Unpack

from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import Place
from equipoise.balancing.checks import require
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import mgda, mgda_scales
from equipoise.balancing.gram_balancer import GramBalancer
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source

Normalization = Literal["none", "l2", "loss", "loss+"]


class MGDA(GramBalancer):
    """Weights on the simplex that make the update shortest, of gradients divided by Z_i or not.

    Z_i is 1 ("none"), the gradient's norm ("l2"), the loss ("loss") or their product ("loss+"). The update is the sum
    of w_i g_i, as in the authors' code, or, with `normalized_update`, of w_i g_i / Z_i, as in LibMTL's parameter mode
    and P2's code: different directions. With `measure_at="features"` this is MGDA-UB.

    The update is zero exactly where no step improves all tasks; a task whose gradient is zero is such a case, so that
    the shared parameters stand still as long as it is in the losses (if all gradients are zero, all weights are 1 / T).
    The solver is exact; author codes iterate and keep the weights of two tasks within [0.001, 0.999].

    Args:
        normalization: What the gradients are divided by: "none", "l2", "loss" or "loss+".
        normalized_update: Whether the update consists of the divided gradients.
        measure_at: Where the gradients are looked at.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient, as in nash-mtl.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.MGDA().backward({"a": 2 * x[0], "b": x[1]}).weights
        {'a': tensor(0.2000), 'b': tensor(0.8000)}
    """

    record = Method(
        name="mgda",
        title="Multiple-gradient descent algorithm",
        paper='Sener and Koltun, "Multi-Task Learning as Multi-Objective Optimization", NeurIPS 2018, algorithm 2',
        sees=Source.SHARED,
        scale="mean: the weights sum to 1",
        heads="plain",
        state="count of unsolved steps",
        sources={
            "normalization": "paper, LibMTL (authors' sample configuration: loss+)",
            "normalized_update": "authors' code",
            "measure_at": "paper; its approximation MGDA-UB: features",
            "scale_heads": "paper, algorithm 2, line 2",
        },
    )
    mean_type = True

    def __init__(
        self,
        *,
        normalization: Normalization = "none",
        normalized_update: bool = False,
        measure_at: Place = "shared",
        scale_heads: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(measure_at=measure_at, scale_heads=scale_heads, **common)
        known = ("none", "l2", "loss", "loss+")
        require(normalization in known, "normalization", normalization, f"be one of {', '.join(known)}")
        self.normalization, self.normalized_update = normalization, normalized_update

    def solve(self, evidence: Evidence, gram: Tensor) -> Tensor:
        """The combination of least norm."""
        scales = mgda_scales(gram, evidence.losses, self.normalization)
        weights = mgda(gram / scales / scales[:, None])
        return weights / scales if self.normalized_update else weights
