"""IMTL: IMTL-G on the gradients of the losses that IMTL-L has scaled."""

import torch
from torch import Tensor

from equipoise.balancing.functional.imtl_g import imtl_g


@torch.no_grad()
def imtl(gram: Tensor, log_scales: Tensor) -> Tensor:
    r"""Weights of the shared update of IMTL, the hybrid of IMTL-L and IMTL-G (Liu et al., ICLR 2021).

    The scaled losses have the gradients :math:`e^{s_i} g_i`. With :math:`\alpha` of
    :func:`~equipoise.balancing.functional.imtl_g` for these, :math:`w_i = \alpha_i e^{s_i}`. The task heads take the
    gradient of the scaled losses, with weights :math:`e^{s_i}`, and ``s`` that of
    :func:`~equipoise.balancing.functional.imtl_l`, both without :math:`\alpha`. The direction does not depend on ``s``,
    its length does.

    Args:
        gram: Gram matrix of the gradients of the unscaled losses, shape ``[T, T]``.
        log_scales: ``s``, shape ``[T]``.

    Returns:
        Weights, possibly negative, shape ``[T]``, dtype and device of ``gram``. Solved in float64.

    Raises:
        ValueError: If ``gram`` is not a finite symmetric matrix.
        SolverError: As :func:`~equipoise.balancing.functional.imtl_g`.

    Example:
        >>> import torch
        >>> imtl(torch.tensor([[4.0, 0.0], [0.0, 1.0]]), torch.tensor([0.0, 0.0]))
        tensor([0.3333, 0.6667])
    """
    scales = log_scales.to(gram).exp()
    return imtl_g(gram * scales * scales[:, None]) * scales
