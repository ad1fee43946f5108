"""MGDA: the convex combination of the task gradients with the least norm."""

from typing import Literal

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.gram import GramBalancer
from equipoise.balancing.bases.weights import MeasureAt
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import hyper
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.solvers import minimum_norm_weights, read_gram, to_tensor

__all__ = ["MGDA", "mgda", "mgda_scales"]

Normalization = Literal["none", "l2", "loss", "loss+"]


def mgda(gram: Tensor) -> Tensor:
    r"""Weights of MGDA (Désidéri 2012; Sener and Koltun, NeurIPS 2018).

    $$
    w = \arg\min_{w \ge 0,\ \sum_i w_i = 1} w^T G w
    $$

    The direction `d = J.T @ w` satisfies `<g_i, d> >= ||d||^2`, with equality if `w_i > 0`. It is zero exactly at
    Pareto-stationary points, for instance if a gradient is zero. For dependent gradients (duplicates, more tasks than
    parameters) the direction is unique and the weights are not. The solver is exact (active set). Author codes iterate,
    do not enforce their iteration limit, clamp the weights of two tasks to [0.001, 0.999] and fail for one task.

    Args:
        gram: Gram matrix of the gradients, or of normalised ones (see `mgda_scales`), shape `[T, T]`.

    Returns:
        Weights on the simplex, shape `[T]`, dtype and device of `gram`. Solved in float64.

    Raises:
        ValueError: If `gram` is not a finite symmetric matrix.
        SolverError: If the optimality condition was not reached.

    Example:
        >>> import torch
        >>> mgda(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
        tensor([0.2000, 0.8000])
    """
    return to_tensor(minimum_norm_weights(read_gram(gram))).to(gram)


@torch.no_grad()
def mgda_scales(gram: Tensor, losses: Tensor, normalization: str) -> Tensor:
    r"""Divisors $Z_i$ of MGDA with normalised gradients (Sener and Koltun, section 5 of their code).

    The weights are those of `gram / (Z[:, None] * Z)`. The authors' code applies them to the raw gradients,
    `d = J.T @ w`. LibMTL applies them to the normalised ones, `d = J.T @ (w / Z)`. These are different directions. A
    divisor of zero (zero gradient or zero loss) is replaced by one.

    Args:
        gram: Gram matrix of the raw gradients, shape `[T, T]`.
        losses: Positive losses, shape `[T]`.
        normalization: `"none"` (1), `"l2"` (norm of the gradient), `"loss"` (the loss) or `"loss+"` (their
            product).

    Returns:
        Divisors, shape `[T]`, dtype and device of `gram`.

    Raises:
        ValueError: If `normalization` is none of these.

    Example:
        >>> import torch
        >>> mgda_scales(torch.tensor([[4.0, 0.0], [0.0, 1.0]]), torch.tensor([0.5, 3.0]), "loss+")
        tensor([1., 3.])
    """
    norms = gram.diagonal().double().sqrt()
    scales = {
        "none": torch.ones_like(norms),
        "l2": norms,
        "loss": losses.to(norms),
        "loss+": norms * losses.to(norms),
    }
    if normalization not in scales:
        raise ValueError(
            f"`normalization` should be one of {sorted(scales)}. Found `normalization = {normalization!r}`."
        )
    chosen = scales[normalization]
    return chosen.where(chosen != 0, torch.ones_like(chosen)).to(gram)


@register
class MGDA(GramBalancer):
    """Weights on the simplex that minimise the norm of sum_i w_i g_i / Z_i, with optional divisors Z_i.

    Z_i is 1 ("none"), the gradient's norm ("l2"), the loss ("loss") or their product ("loss+"). The update is the sum
    of w_i g_i, as in the authors' code. With `normalized_update` it is the sum of w_i g_i / Z_i, as in LibMTL's
    parameter mode and in the code of Gama & Grassi (2025). These are different directions. With `measure_at="features"`
    this is MGDA-UB.

    The update is zero exactly if no step improves all tasks. A task with a zero gradient is such a case: the shared
    parameters do not move while it is in the losses. If all gradients are zero, all weights are 1 / T. The solver is
    exact. Author codes iterate and keep the weights of two tasks within [0.001, 0.999].

    Args:
        normalization: Divisor of the gradients: "none", "l2", "loss" or "loss+".
        normalized_update: Whether the update consists of the divided gradients.
        measure_at: Where gradients are measured.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient, as in nash-mtl.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.MGDA().backward({"a": 2 * x[0], "b": x[1]}).weights
        {'a': tensor(0.2000), 'b': tensor(0.8000)}
    """

    info = MethodInfo(
        name="mgda",
        title="Multiple-gradient descent algorithm",
        paper='Sener and Koltun, "Multi-Task Learning as Multi-Objective Optimization", NeurIPS 2018, algorithm 2',
        default_place=Place.SHARED,
        scale="mean: the weights sum to 1",
        heads="plain",
        state="count of unsolved steps",
    )
    mean_type = True

    normalization: Normalization = hyper(default="none", source="paper, LibMTL (authors' sample configuration: loss+)")
    normalized_update: bool = hyper(default=False, source="authors' code")
    measure_at: MeasureAt = hyper(default="shared", source="paper; its approximation MGDA-UB: features")
    scale_heads: bool = hyper(default=False, source="paper, algorithm 2, line 2")

    def solve(self, inputs: StepInputs, gram: Tensor) -> Tensor:
        """Compute the combination of least norm."""
        scales = mgda_scales(gram, inputs.losses, self.normalization)
        weights = mgda(gram / scales / scales[:, None])
        return weights / scales if self.normalized_update else weights
