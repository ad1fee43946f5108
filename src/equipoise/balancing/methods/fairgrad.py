"""FairGrad: alpha-fair improvements of all tasks."""

import math

from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.gram import BargainingBalancer
from equipoise.balancing.bases.weights import MeasureAt
from equipoise.balancing.errors import SolverError
from equipoise.balancing.hyper_parameters import FINITE_POSITIVE, POSITIVE, hyper, or_none
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.solvers import bargaining_weights, read_gram, to_tensor

__all__ = ["FairGrad", "fairgrad"]


def fairgrad(gram: Tensor, alpha: float = 1.0) -> Tensor:
    r"""Weights of FairGrad (Ban and Ji, ICML 2024), neither multiplied by the number of tasks nor clipped.

    $$
    G w = w^{-1/\alpha},\quad w > 0
    $$

    `alpha = 1` is Nash-MTL. `alpha -> 0` tends to the plain sum, `alpha -> infinity` to equal improvements. The
    solution is unique. It exists unless some convex combination of the gradients vanishes. That is the case for a zero
    gradient, opposite gradients and a Pareto-stationary point. Author codes return an arbitrary point there. If all
    gradients are zero, so are the weights. Scaling all gradients by `c` scales the weights by `c ** (-2 * alpha / (1 +
    alpha))`.

    Args:
        gram: Gram matrix of the task gradients, `J @ J.T`, shape `[T, T]`.
        alpha: Fairness, positive. The authors' code has 1, their scripts 2.

    Returns:
        Weights, shape `[T]`, dtype and device of `gram`. Solved in float64.

    Raises:
        ValueError: If `gram` is not a finite symmetric matrix or `alpha` is not positive.
        SolverError: If no solution exists to the precision of `gram`, or the relative residual stays above 1e-8. The
            limit is 1e-6 for almost opposite gradients, where 16 digits allow no more.

    Example:
        >>> import torch
        >>> fairgrad(torch.tensor([[8.0, 0.0], [0.0, 1.0]]), alpha=0.5)
        tensor([0.5000, 1.0000])
    """
    if not 0 < alpha < math.inf:
        raise ValueError(f"`alpha` should be positive and finite. Found `alpha = {alpha}`.")
    host = read_gram(gram)
    squared_norms = host.squared_norms()
    if min(squared_norms) == 0:
        if max(squared_norms) == 0:
            return gram.new_zeros(len(squared_norms))
        zero = [task for task, squared_norm in enumerate(squared_norms) if squared_norm == 0]
        raise SolverError(
            f"No weights exist: the tasks at positions {zero} have zero gradients and cannot improve. Leave them out.",
            1.0,
        )
    return to_tensor(bargaining_weights(host, float(alpha))).to(gram)


@register
class FairGrad(BargainingBalancer):
    """Weights with G w = w^(-1/alpha) for the Gram matrix G: every task improves by w_i^(-1/alpha).

    `alpha=1` is Nash-MTL. Towards 0 the weights tend to 1, towards infinity the improvements become equal. The solution
    is exact, at any scale of the gradients. The authors multiply the update by T before they clip it. LibMTL does
    neither, and weights the heads. TorchJD has the mean at alpha = 0.

    A task with a zero gradient is left out. If no solution exists, the step takes the convex combination of least norm,
    which is almost no update, and is counted in `state["unsolved"]`.

    Args:
        alpha: Fairness, positive.
        max_norm: Largest norm of the update of the shared parameters. None for no limit: then, for an alpha above 1,
            the update grows as gradients vanish.
        measure_at: Where gradients are measured.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> balancer = equipoise.FairGrad(alpha=0.5, max_norm=None)
        >>> balancer.backward({"a": 8 ** 0.5 * x[0], "b": x[1]}).weights
        {'a': tensor(0.5000), 'b': tensor(1.)}
    """

    info = MethodInfo(
        name="fairgrad",
        title="FairGrad",
        paper='Ban and Ji, "Fair Resource Allocation in Multi-Task Learning", ICML 2024',
        default_place=Place.SHARED,
        scale="absolute: the update has at most the norm max_norm",
        heads="plain",
        state="count of unsolved steps",
    )

    alpha: float = hyper(
        default=2.0,
        rule=FINITE_POSITIVE,
        source="authors' scripts (default of their class: 1, which is Nash-MTL)",
    )
    max_norm: float | None = hyper(default=1.0, rule=or_none(POSITIVE), source="authors' code")
    measure_at: MeasureAt = hyper(default="shared", source="paper")
    scale_heads: bool = hyper(default=False, source="authors' code")

    @property
    def exponent(self) -> float:
        """The alpha of the condition."""
        return self.alpha
