"""UPGrad: the mean of the task gradients, each projected so that it conflicts with no task."""

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.gram import GramBalancer
from equipoise.balancing.bases.weights import MeasureAt
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import hyper
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.solvers import nonnegative_multipliers, normalized, read_gram, to_tensor

__all__ = ["UPGrad", "upgrad"]


def upgrad(gram: Tensor) -> Tensor:
    r"""Weights of UPGrad (Quinton and Rey 2024), mean convention.

    $$
    d = \frac1T \sum_i \pi(g_i),\quad \pi(x) = \arg\min_{y:\ J y \ge 0} \lVert y - x \rVert
    $$

    `d` conflicts with no task, `J @ d >= 0`, and is the mean gradient if no two gradients conflict. Zero gradients and
    Pareto-stationary points need no exception. For dependent gradients the direction is unique and the weights are not.
    The projections are exact. TorchJD's regularisation moves the result by up to 30 percent if norms differ by a factor
    of 1000, and its threshold returns the conflicting mean for small gradients.

    Args:
        gram: Gram matrix of the task gradients, `J @ J.T`, shape `[T, T]`.

    Returns:
        Weights, non-negative, shape `[T]`, dtype and device of `gram`. Solved in float64.

    Raises:
        ValueError: If `gram` is not a finite symmetric matrix.
        SolverError: If the optimality condition was not reached.

    Example:
        >>> import torch
        >>> upgrad(torch.tensor([[1.0, -1.0], [-1.0, 4.0]]))
        tensor([1.0000, 0.6250])
    """
    lengths, angles = normalized(read_gram(gram))
    norms, cosines = to_tensor(lengths), angles.matrix
    # The cone does not depend on the norms: project unit gradients, with a unit diagonal for zero ones as well.
    cosines.diagonal().fill_(1.0)
    multipliers = nonnegative_multipliers(cosines, cosines, cosines < 0, angles.precision)
    # The multipliers of a zero gradient are zero.
    return ((1 + (norms @ multipliers) / norms.clamp(min=torch.finfo(norms.dtype).tiny)) / len(norms)).to(gram)


@register
class UPGrad(GramBalancer):
    """The mean of the task gradients, each projected onto the directions that make no loss rise.

    The projections are exact. TorchJD, by the authors of the method, adds a ridge and returns the plain mean for small
    gradients. A zero gradient counts in the mean and constrains nothing.

    Args:
        measure_at: Where gradients are measured.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> _ = equipoise.UPGrad().backward({"a": x[0], "b": 2 * x[1] - x[0]})
        >>> x.grad
        tensor([0.4000, 1.2000])
    """

    info = MethodInfo(
        name="upgrad",
        title="Unconflicting projection of gradients",
        paper='Quinton and Rey, "Jacobian Descent for Multi-Objective Optimization", 2024',
        default_place=Place.SHARED,
        scale="mean: T identical tasks give the gradient of one",
        heads="plain",
        state="count of unsolved steps",
    )
    mean_type = True

    measure_at: MeasureAt = hyper(default="shared", source="paper")
    scale_heads: bool = hyper(default=False, source="TorchJD")

    def solve(self, inputs: StepInputs, gram: Tensor) -> Tensor:
        """Compute the projections."""
        return upgrad(gram)
