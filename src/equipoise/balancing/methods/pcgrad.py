"""PCGrad: every gradient, projected onto the normal plane of those it conflicts with, in random order."""

from typing import Literal, Unpack

from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import Place
from equipoise.balancing.checks import require
from equipoise.balancing.draws import first_state, random_orders
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import pcgrad
from equipoise.balancing.gram_balancer import GramBalancer
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class PCGrad(GramBalancer):
    """The sum of the task gradients, each without its components against others (Yu et al., algorithm 1).

    Each task visits the others in a random order of its own, drawn anew in every step. The authors' code discards its
    shuffle; LibMTL and nash-mtl also visit the task itself; CAGrad's and UniversalRepresentations' versions take the
    mean. A zero gradient conflicts with none.

    Args:
        reduction: "sum" or "mean" of the projected gradients.
        seed: Of the method's own generator, which a checkpoint holds and all processes share.
        measure_at: Where the gradients are looked at.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> _ = equipoise.PCGrad().backward({"a": x[0], "b": 2 * x[1] - x[0]})
        >>> x.grad
        tensor([0.8000, 2.4000])
    """

    record = Method(
        name="pcgrad",
        title="Projecting conflicting gradients",
        paper='Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020, algorithm 1',
        sees=Source.SHARED,
        scale="sum: T identical tasks give T times the gradient of one",
        heads="plain",
        state="random generator",
        sources={
            "reduction": "paper",
            "seed": "our choice",
            "measure_at": "paper",
            "scale_heads": "authors' code",
        },
    )

    def __init__(
        self,
        *,
        reduction: Literal["sum", "mean"] = "sum",
        seed: int = 0,
        measure_at: Place = "shared",
        scale_heads: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(measure_at=measure_at, scale_heads=scale_heads, **common)
        require(reduction in ("sum", "mean"), "reduction", reduction, "be 'sum' or 'mean'")
        self.reduction = reduction
        self.memory = {"generator": first_state(seed)}

    def solve(self, evidence: Evidence, gram: Tensor) -> Tensor:
        """The projections, in orders that are drawn first."""
        orders, state = random_orders(self.memory["generator"], len(gram), gram.device)
        self.memory = self.memory | {"generator": state}
        return pcgrad(gram, orders) / (len(gram) if self.reduction == "mean" else 1)
