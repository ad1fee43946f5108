"""RotoGrad: equal lengths of the tasks' gradients at the features, and rotations that align them."""

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def rotograd(norms: Tensor, initial_norms: Tensor) -> Tensor:
    r"""Weights of the task gradients at the features in RotoGrad (Javaloy and Valera, ICLR 2022).

    .. math:: w_i = \frac{C}{n_i},\qquad C = \sum_j a_j n_j,\qquad a_j \propto n_j / n_j(0)

    so that every task contributes a gradient of the same length, which tasks that have come down least determine most.

    Args:
        norms: Norms of the task gradients over the whole batch, shape ``[T]``.
        initial_norms: The same at the start of the training, positive, shape ``[T]``.

    Returns:
        Weights, shape ``[T]``; zero where the gradient is, and all ones if all gradients are zero.

    Example:
        >>> import torch
        >>> rotograd(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 3.0]))
        tensor([2.0000, 0.6667])
    """
    nonzero = norms > 0
    ratios = torch.where(nonzero, norms / initial_norms, 0)
    total = ratios.sum()
    length = (ratios * norms).sum() / torch.where(total > 0, total, 1)
    weights = torch.where(nonzero, length / torch.where(nonzero, norms, 1), 0)
    return torch.where(nonzero.any(), weights, torch.ones_like(norms))


@torch.no_grad()
def rotograd_slopes(gradients: Sequence[Tensor], norms: Tensor, mean_norm: Tensor) -> Tensor:
    r"""Slopes of the rotations of RotoGrad, as skew-symmetric matrices.

    Rotation :math:`R_i` should minimise :math:`\|R_i V - R_i^- G_i\|^2`, where :math:`G_i` is the gradient of loss i at
    the features, :math:`R_i^-` the rotation that it came through, and :math:`V` the mean of all :math:`G_j`, brought to
    the length of the plain mean gradient. In the tangent space, where :math:`R_i` becomes :math:`R_i e^S`, the gradient
    with respect to the skew-symmetric S is

    .. math:: S_i = 2 (V G_i^T - G_i V^T)

    It does not depend on the rotations. Samples and positions are summed over, as the authors' package does for plain
    features; for feature maps it takes the mean over the batch.

    Args:
        gradients: :math:`G_i` with samples and positions as columns, T tensors of shape ``[d, N]``.
        norms: Norms of the tasks' gradients, shape ``[T]``.
        mean_norm: Norm of the mean of the tasks' gradients, a scalar.

    Returns:
        Slopes, shape ``[T, d, d]``: a step goes to ``R_i @ matrix_exp(-rate * slope)``.

    Example:
        >>> import torch
        >>> alike = [torch.tensor([[1.0], [0.0]])] * 2
        >>> rotograd_slopes(alike, torch.ones(2), torch.tensor(1.0)).abs().max()
        tensor(0.)
    """
    factors = torch.where(norms > 0, mean_norm / torch.where(norms > 0, norms, 1), 0) / len(gradients)
    pairs = zip(gradients, factors, strict=True)
    target = torch.stack([gradient * factor.to(gradient) for gradient, factor in pairs]).sum(0)
    products = torch.stack([target @ gradient.T for gradient in gradients])
    return 2 * (products - products.mT)


@torch.no_grad()
def turned(rotation: Tensor, step: Tensor) -> Tensor:
    r"""A rotation after a step in its tangent space, :math:`R e^S`, kept orthogonal against rounding.

    Args:
        rotation: Shape ``[..., d, d]``, orthogonal.
        step: Shape ``[..., d, d]``, skew-symmetric.

    Example:
        >>> import torch
        >>> turned(torch.eye(2), torch.tensor([[0.0, -torch.pi / 2], [torch.pi / 2, 0.0]])).round().abs()
        tensor([[0., 1.],
                [1., 0.]])
    """
    moved = rotation @ torch.matrix_exp(step)
    # One step of Newton's iteration towards the nearest orthogonal matrix.
    return moved @ (3 * torch.eye(moved.shape[-1], dtype=moved.dtype, device=moved.device) - moved.mT @ moved) / 2
