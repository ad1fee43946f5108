"""EDM: the equiangular direction, which is that of the least-norm combination of the unit gradients."""

from operator import mul

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.gram import GramBalancer
from equipoise.balancing.bases.weights import MeasureAt
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import hyper
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.solvers import (
    Gram,
    Vector,
    factorized,
    minimum_norm_weights,
    nonnegative_multipliers,
    normalized,
    product,
    read_gram,
    stationarity_floor,
    to_tensor,
)

__all__ = ["EDM", "edm"]

_RIDGE = 1e-9


def edm(gram: Tensor) -> Tensor:
    r"""Weights of EDM (Katrutsa et al. 2020), the central direction of CDTT.

    $$
    \alpha = \arg\min_{\alpha \ge 0,\ \sum_i \alpha_i = 1} \lVert \textstyle\sum_i \alpha_i u_i \rVert,\quad
    w_i = \frac{\alpha_i / n_i}{\sum_j \alpha_j / n_j},\qquad u_i = g_i / n_i
    $$

    The direction conflicts with no task and depends on angles only. The weights are on the simplex. With all
    $\alpha_i > 0$ this is IMTL-G. If active gradients are dependent (parallel tasks), the length is not unique.
    Then the $\alpha$ of least Euclidean norm is taken, so that `g` and `3 g` give `1.5 g`. A zero gradient takes all
    the weight, as in the limit of a vanishing one, and there is no update. Both public codes iterate and are wrong by
    up to 10 percent.

    Args:
        gram: Gram matrix of the task gradients, `J @ J.T`, shape `[T, T]`.

    Returns:
        Weights on the simplex, shape `[T]`, dtype and device of `gram`. Solved in float64.

    Raises:
        ValueError: If `gram` is not a finite symmetric matrix.
        SolverError: If the optimality condition was not reached.

    Example:
        >>> import torch
        >>> edm(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
        tensor([0.3333, 0.6667])
    """
    norms, cosines = normalized(read_gram(gram))
    least = min(norms)
    if least == 0:
        return to_tensor([float(task == norms.index(0.0)) for task in range(len(norms))]).to(gram)
    combination = _of_least_length(cosines)
    weights = [share * (least / norm) for share, norm in zip(combination, norms, strict=True)]
    total = sum(weights)
    return to_tensor([weight / total for weight in weights]).to(gram)


def _of_least_length(cosines: Gram) -> Vector:
    """Return the combination of unit gradients of least norm; among several, that with the shortest coefficients."""
    combination = minimum_norm_weights(cosines)
    floor = stationarity_floor(len(combination), cosines.precision)
    triangle = factorized(cosines.matrix)
    if triangle is not None and triangle.least_pivot() > floor:
        return combination
    slopes = product(cosines.rows, combination)
    level = sum(map(mul, combination, slopes)) + max(1e-12, len(slopes) * cosines.precision)
    tied = [task for task, slope in enumerate(slopes) if slope <= level]
    matrix = (cosines.matrix + 1)[tied][:, tied]
    triangle = factorized(matrix)
    if triangle is not None and triangle.least_pivot() > floor:
        return combination
    # All tasks in `tied` can share the weight. A ridge selects the shortest combination and barely moves the vector.
    goal = matrix @ to_tensor([combination[task] for task in tied])
    ridged = matrix.clone()
    ridged.diagonal().add_(max(_RIDGE, 2 * floor))
    scale = ridged[0, 0]
    shared = nonnegative_multipliers(
        ridged / scale, (-goal / scale)[None], torch.ones_like(goal, dtype=torch.bool)[None], cosines.precision
    )[0].tolist()
    result = [0.0] * len(combination)
    for task, share in zip(tied, shared, strict=True):
        result[task] = share / sum(shared)
    return result


@register
class EDM(GramBalancer):
    """Weights on the simplex in the direction of the least-norm convex combination of the unit gradients.

    No loss rises along it. The improvements of all tasks with a positive weight are proportional to their gradients'
    norms (equal angles). If all weights are positive, this is IMTL-G. The solver is exact. Both public codes iterate,
    and are wrong by 10 percent for twenty tasks.

    A task whose gradient is zero takes all the weight, as in the code of Gama & Grassi (2025). The shared parameters
    then do not move while that task is in the losses, and the heads continue. If all gradients are zero, all weights
    are 1 / T.

    Args:
        measure_at: Where gradients are measured.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.EDM().backward({"a": 2 * x[0], "b": x[1]}).weights
        {'a': tensor(0.3333), 'b': tensor(0.6667)}
    """

    info = MethodInfo(
        name="edm",
        title="EDM",
        paper="Katrutsa et al. 2020 (arXiv 2007.06937), as the central direction of CDTT in Gama & Grassi 2025",
        default_place=Place.SHARED,
        scale="mean: the weights sum to 1",
        heads="plain",
        state="count of unsolved steps",
    )
    mean_type = True

    measure_at: MeasureAt = hyper(default="shared", source="code of Gama & Grassi 2025")
    scale_heads: bool = hyper(default=False, source="code of Gama & Grassi 2025")

    def solve(self, inputs: StepInputs, gram: Tensor) -> Tensor:
        """Compute the least-norm combination."""
        return edm(gram)
