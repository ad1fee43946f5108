"""Aligned-MTL: make the task gradients orthogonal and equally long, then sum them."""

from typing import Literal

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.gram import GramBalancer
from equipoise.balancing.bases.weights import MeasureAt
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import hyper
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.solvers import Gram, read_gram

__all__ = ["AlignedMTL", "aligned_mtl"]

ScaleMode = Literal["min", "median", "rmse"]
_VERY_UNEQUAL = 1e-2


def aligned_mtl(gram: Tensor, scale_mode: str = "min") -> Tensor:
    r"""Weights of Aligned-MTL (Senushkin et al., CVPR 2023), sum convention.

    With the eigenvalues $\lambda$ of $G = V \Lambda V^T$ above the rank cut $T \epsilon
    \lambda_{\max}$:

    $$
    w = \sqrt{s}\; V \Lambda^{-1/2} V^T 1
    $$

    The aligned gradients form the closest matrix with orthogonal rows of length $\sqrt s$ (within the span, if
    gradients are dependent). TorchJD takes the mean, `w / T`. The rank cut uses the precision of `gram`. The authors'
    code uses that of the default dtype, so that `"min"` jumps for nearly dependent gradients. If all gradients are
    zero, so are the weights.

    Args:
        gram: Gram matrix of the task gradients, `J @ J.T`, shape `[T, T]`.
        scale_mode: Choice of `s`: the `"min"`, the lower `"median"` or the mean (`"rmse"`) of the kept eigenvalues.

    Returns:
        Weights, possibly negative, shape `[T]`, dtype and device of `gram`. Solved in float64.

    Raises:
        ValueError: If `gram` is not a finite symmetric matrix or `scale_mode` is unknown.

    Example:
        >>> import torch
        >>> aligned_mtl(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
        tensor([0.5000, 1.0000])
    """
    scales = {"min": torch.amin, "median": torch.median, "rmse": torch.mean}
    if scale_mode not in scales:
        raise ValueError(f"`scale_mode` should be one of {sorted(scales)}. Found `scale_mode = {scale_mode!r}`.")
    host = read_gram(gram)
    squared_norms = host.squared_norms()
    longest = max(squared_norms)
    if longest == 0:
        return gram.new_zeros(len(squared_norms))
    order = None
    if min(squared_norms) < _VERY_UNEQUAL * longest:
        # From the longest gradient to the shortest, `eigh` resolves the small eigenvalues of very unequal gradients to
        # the last digits; in any other order it loses those below the rounding of the largest.
        order = torch.tensor(sorted(range(len(squared_norms)), key=squared_norms.__getitem__, reverse=True))
        host = Gram(host.matrix[order[:, None], order], host.precision)
    values, vectors = torch.linalg.eigh(host.matrix / longest)
    kept = values > len(values) * host.precision * values[-1]
    if not kept.all().item():
        values, vectors = values[kept], vectors[:, kept]
    scale = scales[scale_mode](values)
    weights = vectors @ (vectors.sum(0) * (scale / values).sqrt())
    return (weights if order is None else torch.empty_like(weights).index_copy_(0, order, weights)).to(gram)


@register
class AlignedMTL(GramBalancer):
    """The sum of the closest orthogonal gradients, all of the length of the smallest singular value ("min").

    TorchJD takes the mean. Eigenvalues below the precision of the gradients are rounding errors and left out. The limit
    is T times about 1e-7 of the largest (float32, as in the authors' code) or 2e-16 (float64). Without it two tasks
    with almost identical gradients would make the smallest singular value, and with it the step, vanish.

    Args:
        scale_mode: The common squared length: "min", the lower "median", or the mean ("rmse") of the eigenvalues.
        measure_at: Where gradients are measured.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.AlignedMTL().backward({"a": 2 * x[0], "b": x[1]}).weights
        {'a': tensor(0.5000), 'b': tensor(1.)}
    """

    info = MethodInfo(
        name="aligned_mtl",
        title="Aligned-MTL",
        paper='Senushkin et al., "Independent Component Alignment for Multi-Task Learning", CVPR 2023',
        default_place=Place.SHARED,
        scale="sum: T identical tasks give T times the gradient of one",
        heads="plain",
        state="count of unsolved steps",
    )

    scale_mode: ScaleMode = hyper(default="min", source="paper")
    measure_at: MeasureAt = hyper(default="shared", source="paper")
    scale_heads: bool = hyper(default=False, source="authors' code")

    def solve(self, inputs: StepInputs, gram: Tensor) -> Tensor:
        """Compute the weights, which do not depend on the scale of the Gram matrix."""
        precision = torch.float64 if inputs.gradients is None else inputs.gradients.dtype
        return aligned_mtl((gram / gram.diagonal().max()).to(precision), self.scale_mode)
