"""AvgNorm: every weighted gradient gets the norm of the summed gradient."""

import torch
from torch import Tensor


@torch.no_grad()
def avgnorm(gram: Tensor) -> Tensor:
    r"""Weights of AvgNorm (P1, equation 6).

    .. math:: w_i = \lVert \textstyle\sum_j g_j \rVert \,/\, \lVert g_i \rVert

    All weighted gradients have the same norm, that of the sum. A task whose gradient is zero has no direction: its
    weight is 0. If all gradients are zero, all weights are 1. Exactly opposite gradients sum to zero: all weights are
    0, up to the rounding of the Gram matrix (``1e-8`` relative in float64).

    The formula has no solver, so that it runs on the Gram matrix's device without waiting for it. Therefore NaN and
    infinity are refused on the CPU only; on other devices they turn every weight into NaN.

    Args:
        gram: Gram matrix of the task gradients at the last shared layer, ``J @ J.T``, of shape ``[T, T]``.

    Returns:
        Weights of shape ``[T]``, dtype and device of ``gram``.

    Raises:
        ValueError: If ``gram`` is not a square floating-point matrix, or, on the CPU, not finite.

    Example:
        >>> import torch
        >>> avgnorm(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
        tensor([1.1180, 2.2361])
    """
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or gram.shape[0] == 0 or not gram.is_floating_point():
        raise ValueError(
            "`gram` should be a square floating-point matrix with one row per task. "
            f"Found `gram` of shape {list(gram.shape)} and dtype {gram.dtype}."
        )
    if gram.device.type == "cpu" and not bool(torch.isfinite(gram).all()):
        raise ValueError("`gram` should be finite. Found NaN or infinity: check the losses and gradients it came from.")
    precise = gram.double()
    squared_norms = precise.diagonal()
    present = squared_norms > 0
    weights = (
        precise.sum().clamp(min=0) / squared_norms.where(present, torch.ones_like(squared_norms))
    ).sqrt() * present
    return weights.where(present.any(), torch.ones_like(weights)).to(gram.dtype)
