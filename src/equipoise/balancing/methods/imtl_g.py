"""IMTL-G: an affine combination with the same projection onto every gradient."""

import math
from operator import mul

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.gram import GramBalancer
from equipoise.balancing.bases.weights import MeasureAt
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.errors import SolverError
from equipoise.balancing.hyper_parameters import hyper
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.methods.edm import edm
from equipoise.balancing.solvers import Gram, Vector, factorized, normalized, read_gram, to_tensor

__all__ = ["IMTLG", "imtl_g"]


def imtl_g(gram: Tensor) -> Tensor:
    r"""Weights of IMTL-G (Liu et al., ICLR 2021). `<d, u_i>` is the same for all tasks, and the weights sum to 1.

    $$
    w = \frac{v}{\sum_i v_i},\qquad v = G^+ n
    $$

    The pseudo-inverse extends the authors' closed form to dependent gradients, for which projections can differ. A zero
    gradient has the weight 0. Weights can be negative. For three or more tasks $\sum_i v_i$ can be negative as well.
    Then all projections are negative, and `d` is an ascent direction for every task. The paper and its codes do not
    guard against that, and neither does this function. `edm` and `config` are safe. For `g` and `-g`, where $v = 0$,
    the weights are `1 / n_i`, scaled to sum to 1, and there is no update. If all gradients are zero, so are the
    weights.

    Args:
        gram: Gram matrix of the task gradients, `J @ J.T`, shape `[T, T]`.

    Returns:
        Weights that sum to 1, shape `[T]`, dtype and device of `gram`. Solved in float64.

    Raises:
        ValueError: If `gram` is not a finite symmetric matrix.
        SolverError: If $\sum_i v_i$ vanishes, so that no affine combination has equal projections.

    Example:
        >>> import torch
        >>> imtl_g(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
        tensor([0.3333, 0.6667])
    """
    host = read_gram(gram)
    norms, cosines = normalized(host)
    longest = max(norms)
    if longest == 0:
        return gram.new_zeros(len(norms))
    cut = len(norms) * host.precision
    shortest = min(norm for norm in norms if norm > 0)
    inverse_norms = [shortest / norm if norm > 0 else 0.0 for norm in norms]
    triangle = factorized(cosines.matrix)
    if triangle is not None and triangle.least_pivot() > math.sqrt(host.precision):
        unscaled = list(map(mul, triangle.solve([1.0] * len(norms)), inverse_norms))
    else:
        unscaled = _near_dependence(host, cosines, norms, inverse_norms, cut)
    total = sum(unscaled)
    if not abs(total) > cut * sum(map(abs, unscaled)):
        raise SolverError(
            "No weights exist: the weights that give equal projections sum to zero and cannot be scaled to sum to 1.",
            residual=1.0,
        )
    return to_tensor([weight / total for weight in unscaled]).to(gram)


def _near_dependence(gram: Gram, cosines: Gram, norms: Vector, inverse_norms: Vector, cut: float) -> Vector:
    values, vectors = torch.linalg.eigh(cosines.matrix)
    if values[0].item() > cut * values[-1].item():
        return list(map(mul, (vectors @ (vectors.sum(0) / values)).tolist(), inverse_norms))
    longest = max(norms)
    unscaled = _pseudo_inverse_times(gram.matrix / longest**2, to_tensor([norm / longest for norm in norms]), cut)
    if max(cosines.matrix.sum().item(), unscaled.abs().max().item()) <= cut * len(norms):
        return inverse_norms
    return unscaled.tolist()


def _pseudo_inverse_times(matrix: Tensor, vector: Tensor, cut: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    inverse = values.reciprocal().where(values > cut * values[-1], torch.zeros_like(values))
    return vectors @ (inverse * (vectors.T @ vector))


@register
class IMTLG(GramBalancer):
    """Weights with the sum 1, possibly negative, for which the update has the same projection onto every gradient.

    For three or more tasks that common projection can be negative. Then the step is uphill for every task. Neither the
    paper nor public code guards against it, and neither does this method. `edm` and `config` have no such case. If no
    such weights exist, the step takes those of `edm` and is counted in `state["unsolved"]`. A zero gradient has the
    weight 0. UnitScal adds a ridge that biases small gradients and is wrong for three or more tasks.

    Args:
        measure_at: Where gradients are measured.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient, as in nash-mtl.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.IMTLG().backward({"a": 2 * x[0], "b": x[1]}).weights
        {'a': tensor(0.3333), 'b': tensor(0.6667)}
    """

    info = MethodInfo(
        name="imtl_g",
        title="IMTL-G",
        paper='Liu et al., "Towards Impartial Multi-task Learning", ICLR 2021, gradient balance',
        default_place=Place.SHARED,
        scale="mean: the weights sum to 1",
        heads="plain",
        state="count of unsolved steps",
    )
    mean_type = True

    measure_at: MeasureAt = hyper(default="shared", source="paper, which also has the features")
    scale_heads: bool = hyper(default=False, source="paper: shared parameters only")

    def solve(self, inputs: StepInputs, gram: Tensor) -> Tensor:
        """Compute the closed form."""
        return imtl_g(gram)

    def fallback(self, gram: Tensor) -> Tensor:
        """Return the weights of EDM: equal projections wherever no uphill step is needed for them."""
        return edm(gram)
