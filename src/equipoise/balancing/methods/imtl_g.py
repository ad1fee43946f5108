"""IMTL-G: an affine combination with the same projection onto every gradient."""

from typing import Unpack

from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import Place
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import edm, imtl_g
from equipoise.balancing.gram_balancer import GramBalancer
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class IMTLG(GramBalancer):
    """Weights with the sum 1, possibly negative, for which the update has the same projection onto every gradient.

    For three tasks and more that common projection can be negative: then the step is uphill for every task. Neither
    paper nor public code guards against it, nor does this method; `edm` and `config` have no such case. Where no such
    weights exist the step takes those of `edm` and is counted in `memory["unsolved"]`. A zero gradient has the weight
    0. UnitScal adds a ridge that biases small gradients and is wrong for three tasks and more.

    Args:
        measure_at: Where the gradients are looked at.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient, as in nash-mtl.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.IMTLG().backward({"a": 2 * x[0], "b": x[1]}).weights
        {'a': tensor(0.3333), 'b': tensor(0.6667)}
    """

    record = Method(
        name="imtl_g",
        title="IMTL-G",
        paper='Liu et al., "Towards Impartial Multi-task Learning", ICLR 2021, gradient balance',
        sees=Source.SHARED,
        scale="mean: the weights sum to 1",
        heads="plain",
        state="count of unsolved steps",
        sources={"measure_at": "paper, which also has the features", "scale_heads": "paper: shared parameters only"},
    )
    mean_type = True

    def __init__(self, *, measure_at: Place = "shared", scale_heads: bool = False, **common: Unpack[Common]) -> None:
        super().__init__(measure_at=measure_at, scale_heads=scale_heads, **common)

    def solve(self, evidence: Evidence, gram: Tensor) -> Tensor:
        """The closed form."""
        return imtl_g(gram)

    def fallback(self, gram: Tensor) -> Tensor:
        """EDM's weights, which have equal projections wherever that is possible without an uphill step."""
        return edm(gram)
