"""Fixed weights from the run of another method."""

import torch
from torch import Tensor


@torch.no_grad()
def fixed_weights(step_weights: Tensor, decay: float = 0.9) -> Tensor:
    r"""Constant loss weights that stand for a whole run of a balancing method (the recipe of P2).

    The weights are averaged over the steps of an epoch, scaled to sum to 1, and then averaged over the epochs,
    :math:`q(e) = \beta q(e - 1) + (1 - \beta) \hat w(e)`, starting from the first epoch without bias correction. The
    last average, scaled to sum to 1, is the result.

    Args:
        step_weights: Effective weights of every step, shape ``[epochs, steps, T]``.
        decay: :math:`\beta` in [0, 1).

    Returns:
        Weights that sum to 1, shape ``[T]``.

    Raises:
        ValueError: If ``step_weights`` has no epochs or steps, ``decay`` is out of range, or the weights of an epoch
            have no positive sum, which methods with negative weights can produce.

    Example:
        >>> import torch
        >>> fixed_weights(torch.tensor([[[1.0, 3.0], [1.0, 3.0]]]))
        tensor([0.2500, 0.7500])
    """
    if step_weights.ndim != 3 or 0 in step_weights.shape:
        raise ValueError(
            f"`step_weights` should have the shape [epochs, steps, T], none of them 0. "
            f"Found {list(step_weights.shape)}."
        )
    if not 0 <= decay < 1:
        raise ValueError(f"`decay` should be in [0, 1). Found `decay = {decay}`.")
    epochs = step_weights.mean(1)
    totals = epochs.sum(1)
    if not (totals > 0).all():
        raise ValueError(
            "`step_weights` should have a positive sum in every epoch to be scaled to 1. "
            f"Found sums of the epochs' means {totals.tolist()}."
        )
    average = epochs[0] / totals[0]
    for epoch, total in zip(epochs[1:], totals[1:], strict=True):
        average = decay * average + (1 - decay) * epoch / total
    return average / average.sum()
