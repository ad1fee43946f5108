"""MoDo: a projected step on the weights, with gradients of two independent batches."""

from typing import Literal

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.cross_gram import CrossGramBalancer
from equipoise.balancing.context import Need
from equipoise.balancing.hyper_parameters import NON_NEGATIVE, POSITIVE, hyper
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.methods.sdmgrad import read_cross_gram
from equipoise.balancing.solvers import project_to_simplex

__all__ = ["MoDo", "modo"]


@torch.no_grad()
def modo(cross_gram: Tensor, weights: Tensor, rate: float = 0.1, regularization: float = 0.1) -> Tensor:
    r"""New weights of MoDo (Chen, Fernando et al., NeurIPS 2023).

    $$
    w \leftarrow P_S\big(w - \gamma\,(J_1 J_2^T w + \rho w)\big)
    $$

    with the Euclidean projection onto the simplex. In the paper the update is $\tfrac12 (J_1 + J_2)^T w$ with the new
    weights. The authors' code has twice that. LibMTL takes the gradients of a third batch. The rate has a unit:
    gradients `c` times as long need a rate of $\gamma / c^2$.

    Args:
        cross_gram: `J_1 @ J_2.T`, gradients of two independent batches, not symmetric, shape `[T, T]`.
        weights: Weights of the last call, shape `[T]`. `1 / T` at the start.
        rate: $\gamma$, non-negative. LibMTL has 0.001.
        regularization: $\rho$, non-negative.

    Returns:
        Weights on the simplex, shape `[T]`, like `weights`. Pass them to the next call.

    Raises:
        ValueError: If `cross_gram` is not a finite square matrix.

    Example:
        >>> import torch
        >>> modo(torch.tensor([[4.0, 0.0], [0.0, 1.0]]), torch.tensor([0.5, 0.5]))
        tensor([0.4250, 0.5750])
    """
    cross = read_cross_gram(cross_gram, "cross_gram")
    current = weights.detach().to(cross)
    step = cross @ current + regularization * current
    return project_to_simplex(current - rate * step).to(weights)


@register
class MoDo(CrossGramBalancer):
    """Simplex weights that approach the least-norm combination by one unbiased projected step at a time.

    Source: Chen, Fernando et al., "Three-Way Trade-Off in Multi-Objective Learning: Optimization, Generalization and
    Conflict-Avoidance", NeurIPS 2023, algorithm 1. Two further batches give the step on the weights. The weights
    apply to the batch of the step, as in LibMTL. The paper saves this third batch: it weighs the mean of the first two,
    so that the update depends on them in two ways.

    Args:
        rate: gamma, positive. LibMTL has 0.001. It has a unit: gradients c times as long need gamma / c^2.
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

    info = MethodInfo(
        name="modo",
        title="MoDo",
        paper='Chen, Fernando et al., "Three-Way Trade-Off in Multi-Objective Learning", NeurIPS 2023, algorithm 1',
        default_place=Place.SHARED,
        scale="mean: T identical tasks give the gradient of one",
        heads="plain",
        state="simplex weights",
        needs=frozenset({Need.FURTHER}),
    )

    rate: float = hyper(default=0.1, rule=POSITIVE, source="the authors' code: 0.1")
    regularization: float = hyper(default=0.1, rule=NON_NEGATIVE, source="the authors' code: 0.1")
    batches: Literal[1, 3] = hyper(default=3, source="LibMTL: 3")
    scale_heads: bool = hyper(default=False, source="no: the paper has shared parameters only")

    def solve(self, cross: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step. Its weights are those of the update."""
        weights = modo(cross, shares, self.rate, self.regularization)
        return weights, weights
