"""Aligned-MTL: gradients made orthogonal and of equal length, then summed."""

import torch
from torch import Tensor

from equipoise.balancing.solvers import read_gram


@torch.no_grad()
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
    longest = host.diagonal().max()
    if longest.item() == 0:
        return torch.zeros_like(host[0]).to(gram)
    values, vectors = torch.linalg.eigh(host / longest)
    kept = values > len(values) * torch.finfo(gram.dtype).eps * values[-1]
    values, vectors = values[kept], vectors[:, kept]
    scale = scales[scale_mode](values)
    return (vectors @ (vectors.sum(0) * (scale / values).sqrt())).to(gram)
