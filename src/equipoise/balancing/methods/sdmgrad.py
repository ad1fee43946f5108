"""SDMGrad: MGDA near the mean gradient, with gradients of independent batches."""

import math
from typing import Literal

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.cross_gram import CrossGramBalancer
from equipoise.balancing.context import Need
from equipoise.balancing.hyper_parameters import FINITE_NON_NEGATIVE, POSITIVE, at_least, hyper, within
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.solvers import project_to_simplex

__all__ = ["SDMGrad", "sdmgrad"]


@torch.no_grad()
def sdmgrad(
    cross_gram: Tensor,
    weights: Tensor,
    regularization: float = 0.3,
    *,
    steps: int = 20,
    rate: float = 10.0,
    momentum: float = 0.5,
) -> tuple[Tensor, Tensor]:
    r"""Weights of SDMGrad (Xiao, Ban and Ji, NeurIPS 2023), and its new simplex weights.

    The function takes some projected steps with momentum, from the weights of the last call, along the gradient

    $$
    A w + \lambda A \tfrac1T 1,\qquad A = \frac{J_1 J_2^T}{s},\quad
    s = \Big(\tfrac1T \sum_i \sqrt{\max(0, (J_1 J_2^T)_{ii})}\Big)^2
    $$

    The update is $J^T (w + \lambda / T) / (1 + \lambda)$, with the gradients of a third batch. At the usual rate of 10
    the inner steps do not converge. They are part of the method. The authors' code multiplies the update by `T` and, by
    aliasing, uses one batch three times. Momentum starts anew in every call and is not projected. If the diagonal has
    no positive entry, the weights stay.

    Args:
        cross_gram: `J_1 @ J_2.T`, gradients of two independent batches, not symmetric, shape `[T, T]`.
        weights: Simplex weights of the last call, shape `[T]`. `1 / T` at the start.
        regularization: $\lambda$, non-negative. Large values give the mean.
        steps: Number of inner steps.
        rate: Learning rate of the inner steps. LibMTL has 5.
        momentum: Momentum of the inner steps.

    Returns:
        The effective weights and the new simplex weights, each of shape `[T]`. The effective weights sum to 1, and have
        the dtype and device of `cross_gram`. The simplex weights have those of `weights`.

    Raises:
        ValueError: If `cross_gram` is not a finite square matrix or `regularization` is negative.

    Example:
        >>> import torch
        >>> effective, simplex = sdmgrad(torch.eye(2), torch.tensor([0.5, 0.5]))
        >>> effective
        tensor([0.5000, 0.5000])
    """
    if not 0 <= regularization < math.inf:
        raise ValueError(f"`regularization` should be non-negative. Found `regularization = {regularization}`.")
    cross = read_cross_gram(cross_gram, "cross_gram")
    simplex = weights.detach().to(cross)
    scale = cross.diagonal().clamp(min=0).sqrt().mean().item() ** 2
    if scale > 0:
        cross = cross / scale
        pull = regularization * cross.mean(1)
        velocity = torch.zeros_like(simplex)
        for _ in range(steps):
            velocity = momentum * velocity + cross @ simplex + pull
            simplex = project_to_simplex(simplex - rate * velocity)
    effective = (simplex + regularization / len(simplex)) / (1 + regularization)
    return effective.to(cross_gram), simplex.to(weights)


def read_cross_gram(cross_gram: Tensor, name: str) -> Tensor:
    """Check a product of two Jacobians, and copy it to the CPU in float64.

    Raises:
        ValueError: If it is not a finite square floating-point matrix.
    """
    if cross_gram.ndim != 2 or cross_gram.shape[0] != cross_gram.shape[1] or not cross_gram.is_floating_point():
        raise ValueError(
            f"`{name}` should be a square floating-point matrix with one row per task. "
            f"Found `{name}` of shape {list(cross_gram.shape)} and dtype {cross_gram.dtype}."
        )
    host = cross_gram.detach().to("cpu", torch.float64)
    if not math.isfinite(host.sum().item()):
        raise ValueError(
            f"`{name}` should be finite. Found NaN or infinity: check the losses and gradients it came from."
        )
    return host


@register
class SDMGrad(CrossGramBalancer):
    """A common descent direction near the mean of the task gradients, without the bias of a single batch.

    Source: Xiao, Ban and Ji, "Direction-oriented Multi-objective Learning: Simple and Provable Stochastic Algorithms",
    NeurIPS 2023, algorithm 1. The weights are (w + lambda / T) / (1 + lambda), which sum to 1. The simplex weights w
    take a few projected steps in every step, from their last values. The authors' code multiplies the update by T. By
    an error it also uses one batch three times, so that their numbers are those of `batches=1`.

    Args:
        regularization: lambda, non-negative. Large values give the mean.
        steps: Number of inner steps.
        rate: Learning rate of the inner steps. LibMTL has 5.
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

    info = MethodInfo(
        name="sdmgrad",
        title="SDMGrad",
        paper='Xiao, Ban and Ji, "Direction-oriented Multi-objective Learning", NeurIPS 2023, algorithm 1',
        default_place=Place.SHARED,
        scale="mean: T identical tasks give the gradient of one",
        heads="plain",
        state="simplex weights",
        needs=frozenset({Need.FURTHER}),
    )

    regularization: float = hyper(
        default=0.3,
        rule=FINITE_NON_NEGATIVE,
        source="the authors' scripts: 0.3",
    )
    steps: int = hyper(default=20, rule=at_least(1), source="the authors' code: 20")
    rate: float = hyper(default=10.0, rule=POSITIVE, source="the authors' code: 10")
    momentum: float = hyper(default=0.5, rule=within(0, 1, ends="[)"), source="the authors' code: 0.5")
    batches: Literal[1, 3] = hyper(default=3, source="the paper: 3")
    scale_heads: bool = hyper(default=False, source="the authors' code: no")

    def solve(self, cross: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Take the inner steps."""
        return sdmgrad(cross, shares, self.regularization, steps=self.steps, rate=self.rate, momentum=self.momentum)
