"""EDM: equiangular direction, the least-norm combination of unit gradients, back in the hull of the raw ones."""

from typing import Unpack

from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import Place
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import edm
from equipoise.balancing.gram_balancer import GramBalancer
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class EDM(GramBalancer):
    """Weights on the simplex in the direction of the least-norm convex combination of the unit gradients.

    No loss rises along it, and the improvements are proportional to the gradients' norms (equal angles) for all tasks
    that take part; if all do, this is IMTL-G. The solver is exact; both public codes iterate, and are wrong by 10
    percent for twenty tasks.

    A task whose gradient is zero takes all the weight: the shared parameters stand still as long as it is in the
    losses, as in P2's code, while the heads go on (if all gradients are zero, all weights are 1 / T).

    Args:
        measure_at: Where the gradients are looked at.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.EDM().backward({"a": 2 * x[0], "b": x[1]}).weights
        {'a': tensor(0.3333), 'b': tensor(0.6667)}
    """

    record = Method(
        name="edm",
        title="EDM",
        paper="Katrutsa et al. 2020 (arXiv 2007.06937), as the central direction of CDTT in P2",
        sees=Source.SHARED,
        scale="mean: the weights sum to 1",
        heads="plain",
        state="count of unsolved steps",
        sources={"measure_at": "P2's code", "scale_heads": "P2's code"},
    )
    mean_type = True

    def __init__(self, *, measure_at: Place = "shared", scale_heads: bool = False, **common: Unpack[Common]) -> None:
        super().__init__(measure_at=measure_at, scale_heads=scale_heads, **common)

    def solve(self, evidence: Evidence, gram: Tensor) -> Tensor:
        """The least-norm combination."""
        return edm(gram)
