"""Aligned-MTL: gradients made orthogonal and of equal length, then summed."""

import torch
from torch import Tensor

from equipoise.balancing.solvers import Gram, read_gram

_VERY_UNEQUAL = 1e-2


def aligned_mtl(gram: Tensor, scale_mode: str = "min") -> Tensor:
    r"""Weights of Aligned-MTL (Senushkin et al., CVPR 2023), sum convention.

    With the eigenvalues :math:`\lambda` of :math:`G = V \Lambda V^T` above the rank cut :math:`T \epsilon
    \lambda_{\max}`:

    .. math:: w = \sqrt{s}\; V \Lambda^{-1/2} V^T 1

    The aligned gradients are the closest matrix with orthogonal rows of length :math:`\sqrt s` (within the span, if
    gradients are dependent). TorchJD takes the mean, ``w / T``. The rank cut uses the precision of ``gram``; the
    authors' uses that of the default dtype, which changes ``"min"`` by jumps for nearly dependent gradients. If all
    gradients are zero, so are the weights.

    Args:
        gram: Gram matrix of the task gradients, ``J @ J.T``, shape ``[T, T]``.
        scale_mode: ``s`` is the ``"min"``, the lower ``"median"`` or the mean (``"rmse"``) of the eigenvalues kept.

    Returns:
        Weights, possibly negative, shape ``[T]``, dtype and device of ``gram``. Solved in float64.

    Raises:
        ValueError: If ``gram`` is not a finite symmetric matrix or ``scale_mode`` is unknown.

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
