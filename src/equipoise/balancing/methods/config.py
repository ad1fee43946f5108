"""ConFIG: the direction with equal angles to all task gradients."""

import math
from collections.abc import Callable, Mapping
from operator import mul
from typing import Literal

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.gram import GramBalancer
from equipoise.balancing.bases.weights import MeasureAt
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import FINITE_POSITIVE, each, hyper
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.solvers import Gram, Vector, factorized, normalized, product, read_gram, to_tensor

__all__ = ["ConFIG", "config"]

Length = Literal["projection", "minimum", "maximum", "harmonic", "arithmetic", "geometric"]
_LENGTHS: dict[str, Callable[[Vector, Vector], float]] = {
    "projection": lambda norms, cosines: sum(map(mul, norms, cosines)),
    "minimum": lambda norms, cosines: min(norms) * sum(cosines),
    "maximum": lambda norms, cosines: max(norms) * sum(cosines),
    "harmonic": lambda norms, cosines: len(norms) / sum(1 / norm for norm in norms) * sum(cosines),
    "arithmetic": lambda norms, cosines: sum(norms) / len(norms) * sum(cosines),
    "geometric": lambda norms, cosines: math.exp(sum(map(math.log, norms)) / len(norms)) * sum(cosines),
}


def config(gram: Tensor, *, preference: Tensor | None = None, length: str = "projection") -> Tensor:
    r"""Weights of ConFIG (Liu, Chu and Thuerey, ICLR 2025), sum convention.

    $$
    y = C^+ r,\quad x = \sum_i y_i u_i,\quad d = \ell\, \frac{x}{\lVert x \rVert},\qquad
    \ell = \sum_i \Big\langle g_i, \frac{x}{\lVert x \rVert} \Big\rangle
    $$

    with the cosine matrix $C$. For independent gradients all angles are equal and below 90 degrees. For dependent
    gradients the angles are a least-squares fit, and conflicts can remain. Zero gradients are left out, with the weight
    0. Opposite gradients ($x = 0$) give zero weights. The authors' package has a shortcut for two tasks that leaves
    rounding noise for parallel gradients. Here the general formula serves all cases.

    Args:
        gram: Gram matrix of the task gradients, `J @ J.T`, shape `[T, T]`.
        preference: Positive target ratios `r` of the cosines, shape `[T]`. Ones by default.
        length: `"projection"` as above, or `q * sum of cosines`. There `q` is the `"minimum"`, the `"maximum"`, or the
            `"harmonic"`, `"arithmetic"` or `"geometric"` mean of the norms.

    Returns:
        Weights, possibly negative, shape `[T]`, dtype and device of `gram`. Solved in float64.

    Raises:
        ValueError: If `gram` is not a finite symmetric matrix, `preference` not positive or `length` unknown.

    Example:
        >>> import torch
        >>> config(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
        tensor([0.7500, 1.5000])
    """
    if length not in _LENGTHS:
        raise ValueError(f"`length` should be one of {sorted(_LENGTHS)}. Found `length = {length!r}`.")
    host = read_gram(gram)
    tasks = len(host.rows)
    ratios = torch.ones(tasks) if preference is None else preference
    if ratios.shape != (tasks,) or not (ratios > 0).all().item():
        raise ValueError(f"`preference` should hold {tasks} positive numbers. Found `preference = {ratios.tolist()}`.")
    wanted: Vector = ratios.tolist()
    present = [task for task, row in enumerate(host.rows) if row[task] > 0]
    weights = [0.0] * tasks
    if present:
        norms, cosines = normalized(host if len(present) == tasks else host.of(present))
        found = _equal_angles(norms, cosines, [wanted[task] for task in present], _LENGTHS[length])
        for task, weight in zip(present, found, strict=True):
            weights[task] = weight
    return to_tensor(weights).to(gram)


def _equal_angles(norms: Vector, cosines: Gram, wanted: Vector, length: Callable[[Vector, Vector], float]) -> Vector:
    triangle = factorized(cosines.matrix)
    if triangle is not None and triangle.least_pivot() > math.sqrt(cosines.precision):
        multipliers = triangle.solve(wanted)
    else:
        multipliers = _least_squares(cosines, to_tensor(wanted))
    reached = product(cosines.rows, multipliers)
    squared = sum(map(mul, multipliers, reached))
    if squared <= 0:
        return [0.0] * len(norms)
    size = math.sqrt(squared)
    total = length(norms, [value / size for value in reached])
    return [total / size * multiplier / norm for multiplier, norm in zip(multipliers, norms, strict=True)]


def _least_squares(cosines: Gram, wanted: Tensor) -> Vector:
    """Return the pseudo-inverse of the cosines times `wanted`, or zeros if that is pure rounding."""
    values, vectors = torch.linalg.eigh(cosines.matrix)
    cut = len(wanted) * cosines.precision
    # Nearly parallel gradients are resolved as long as their eigenvalues are above rounding.
    kept = values > cut * values[-1]
    along = (vectors.T @ wanted)[kept]
    # `wanted` may have no part in the range of the cosines (opposite gradients).
    if not along.square().sum().item() > cut * wanted.square().sum().item():
        return [0.0] * len(wanted)
    return (vectors[:, kept] @ (along / values[kept])).tolist()


@register
class ConFIG(GramBalancer):
    """The direction with the same positive cosine to every gradient, as long as their projections onto it together.

    It is the direction of IMTL-G without uphill steps, and with another length. Dependent gradients are fitted in the
    least-squares sense, and can conflict. A zero gradient is left out, with the weight 0. Opposite gradients give no
    update. The authors' package has a shortcut for two tasks that is wrong for parallel gradients.

    Args:
        preference: Positive target ratios of the cosines, by task. Tasks that are not named have 1.
        length: "projection", or the sum of the cosines times the "minimum", the "maximum", or the "harmonic",
            "arithmetic" or "geometric" mean of the gradients' norms.
        measure_at: Where gradients are measured.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.ConFIG().backward({"a": 2 * x[0], "b": x[1]}).weights
        {'a': tensor(0.7500), 'b': tensor(1.5000)}
    """

    info = MethodInfo(
        name="config",
        title="Conflict-free inverse gradients",
        paper='Liu et al., "ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks", ICLR 2025',
        default_place=Place.SHARED,
        scale="sum: T identical tasks give T times the gradient of one",
        heads="plain",
        state="count of unsolved steps",
    )

    preference: Mapping[str, float] = hyper(default_factory=dict, rule=each(FINITE_POSITIVE), source="paper")
    length: Length = hyper(default="projection", source="paper")
    measure_at: MeasureAt = hyper(default="shared", source="paper")
    scale_heads: bool = hyper(default=False, source="authors' code: the sum of losses")

    def solve(self, inputs: StepInputs, gram: Tensor) -> Tensor:
        """Compute the closed form."""
        wanted = gram.new_tensor([self.preference.get(task, 1.0) for task in inputs.tasks])
        return config(gram, preference=wanted, length=self.length)
