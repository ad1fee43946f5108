"""GradDrop: at every coordinate, only the gradients of one sign."""

import torch
from torch import Tensor

from equipoise.balancing.functional.blocks import blocks


@torch.no_grad()
def graddrop(jacobian: Tensor, uniforms: Tensor, leak: float | Tensor = 0.0) -> Tensor:
    r"""Direction of GradDrop (Chen et al., NeurIPS 2020, algorithm 1), sum convention.

    .. math:: P = \tfrac12 \Big(1 + \frac{\sum_i g_i}{\sum_i |g_i|}\Big),\qquad
        d = \sum_i \big(\ell_i + (1 - \ell_i)\, M_i\big)\, g_i,\qquad M_i = [P > U][g_i > 0] + [P < U][g_i < 0]

    at each coordinate. Without leak, every coordinate is the sum of its positive or of its negative entries. This is
    not a function of the Gram matrix. The paper forms ``jacobian`` from gradients of the shared activations, times the
    activations' sign, summed over the batch; gradients of parameters are a simplification. One public code rescales the
    result to the norm of the sum, another inverts the leak; neither is done here. Works on the device and in the dtype
    of ``jacobian``.

    Args:
        jacobian: Gradients of the tasks, one a row, shape ``[T, D]``.
        uniforms: Draws from [0, 1), shared by the tasks, shape ``[D]``.
        leak: How much of a dropped gradient passes, in [0, 1]: one number, or one for each task, shape ``[T]``.

    Returns:
        The direction, shape ``[D]``.

    Raises:
        ValueError: If shapes do not fit, or ``leak`` is a number outside of [0, 1].

    Example:
        >>> import torch
        >>> graddrop(torch.tensor([[1.0, 2.0], [-3.0, 2.0]]), uniforms=torch.tensor([0.5, 0.5]))
        tensor([-3.,  4.])
    """
    if jacobian.ndim != 2 or uniforms.shape != jacobian.shape[1:]:
        raise ValueError(
            "`jacobian` should have the shape [T, D] and `uniforms` the shape [D]. "
            f"Found {list(jacobian.shape)} and {list(uniforms.shape)}."
        )
    if isinstance(leak, Tensor):
        if leak.shape != jacobian.shape[:1]:
            raise ValueError(f"`leak` should have the shape {list(jacobian.shape[:1])}. Found {list(leak.shape)}.")
        leak = leak.to(jacobian)[:, None]
    elif not 0 <= leak <= 1:
        raise ValueError(f"`leak` should be in [0, 1]. Found `leak = {leak}`.")
    direction = torch.empty_like(jacobian[0])
    for place in blocks(jacobian):
        part = jacobian[:, place]
        kept = graddrop_mask(part, uniforms[place]).to(part)
        direction[place] = ((leak + (1 - leak) * kept) * part).sum(0)
    return direction


@torch.no_grad()
def graddrop_mask(jacobian: Tensor, uniforms: Tensor) -> Tensor:
    """The entries that :func:`graddrop` keeps, boolean, shape ``[T, D]``; arguments as there."""
    magnitude = jacobian.abs().sum(0)
    # Where all gradients are zero the probability does not matter: there is nothing to keep.
    purity = 0.5 * (1 + jacobian.sum(0) / magnitude.where(magnitude > 0, torch.ones_like(magnitude)))
    return (purity > uniforms) & (jacobian > 0) | (purity < uniforms) & (jacobian < 0)
