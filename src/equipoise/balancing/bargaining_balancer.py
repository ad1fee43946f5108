"""The base of Nash-MTL and FairGrad, which share their equation and what is done about its limits."""

from typing import Unpack

import torch
from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import Place
from equipoise.balancing.checks import require
from equipoise.balancing.decision import Decision
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import fairgrad, mgda
from equipoise.balancing.gram_balancer import GramBalancer


class BargainingBalancer(GramBalancer):
    """Weights that solve G w = w^(-1/alpha), with the update of the shared parameters clipped to a norm.

    A task whose gradient is zero cannot bargain: it is left out, with the weight 0, and its own parameters receive
    their plain gradient. Where no solution exists (opposite gradients, a Pareto-stationary point) no step improves all
    tasks; the convex combination of least norm is taken then, which is next to no update, and the step is counted in
    `memory["unsolved"]`. Public codes return the weights of an earlier step or the initial ones, without a word.

    Attributes:
        alpha: The exponent.

    Args:
        max_norm: Largest norm of the update of the shared parameters (of the gradient at the measured place); none for
            no limit. The tasks' own parameters keep the unclipped weights.
        measure_at: Where the gradients are looked at.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.
    """

    alpha: float = 1.0

    def __init__(
        self, *, max_norm: float | None, measure_at: Place, scale_heads: bool, **common: Unpack[Common]
    ) -> None:
        super().__init__(measure_at=measure_at, scale_heads=scale_heads, **common)
        require(max_norm is None or max_norm > 0, "max_norm", max_norm, "be positive or None")
        self.max_norm = max_norm

    def solve(self, evidence: Evidence, gram: Tensor) -> Tensor:
        """The solution among the tasks with a gradient."""
        weights = torch.zeros_like(gram[0])
        present = gram.diagonal() > 0
        weights[present] = fairgrad(gram[present][:, present], self.alpha)
        return weights

    def fallback(self, gram: Tensor) -> Tensor:
        """The convex combination of least norm among the tasks with a gradient."""
        weights = torch.zeros_like(gram[0])
        present = gram.diagonal() > 0
        weights[present] = mgda(gram[present][:, present])
        return weights

    def clipping(self, gram: Tensor, weights: Tensor) -> Tensor:
        """What the weights are multiplied by so that the update keeps to `max_norm`."""
        if self.max_norm is None:
            return torch.ones_like(weights[0])
        norm = torch.dot(weights, gram @ weights).clamp(min=0).sqrt()
        return (self.max_norm / norm.clamp(min=self.max_norm)).to(weights)

    def decide(self, evidence: Evidence) -> Decision:
        """The clipped solution for the shared parameters; the solution, or ones, for the tasks' own."""
        weights = self.weigh(evidence)
        clipped = weights if evidence.gram is None else weights * self.clipping(evidence.gram, weights)
        heads = torch.where(weights == 0, torch.ones_like(weights), weights)
        heads = heads if self.scale_heads else torch.ones_like(heads)
        return Decision(clipped.to(evidence.losses), head_weights=heads.to(evidence.losses))
