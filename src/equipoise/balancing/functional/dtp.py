"""DTP: more weight to the tasks that perform worst."""

import torch
from torch import Tensor

_MARGIN = 1e-6


@torch.no_grad()
def dtp(indicators: Tensor, averages: Tensor, rate: float = 0.9, focus: float = 1.0) -> tuple[Tensor, Tensor]:
    r"""Weights of DTP (Guo et al., ECCV 2018), and the new averages of its performance indicators.

    .. math:: \bar\kappa_i \leftarrow \alpha \kappa_i + (1 - \alpha) \bar\kappa_i,\qquad
        w_i = -(1 - \bar\kappa_i)^\gamma \log \bar\kappa_i

    The indicators are accuracies, not losses. The authors published no code. Averages start with the first indicators.
    Outside of [1e-6, 1 - 1e-6], where the weight is infinite or the task dropped, averages are clamped for the weights.

    Args:
        indicators: :math:`\kappa`, in (0, 1), higher is better, shape ``[T]``.
        averages: :math:`\bar\kappa` before this call, shape ``[T]``.
        rate: :math:`\alpha` in [0, 1], the share of the new indicators.
        focus: :math:`\gamma`, non-negative.

    Returns:
        The weights, which do not sum to a fixed number, and the new averages, each of shape ``[T]``.

    Raises:
        ValueError: If ``rate`` or ``focus`` is out of range.

    Example:
        >>> import torch
        >>> kappa = torch.tensor([0.5, 0.9])
        >>> dtp(kappa, averages=kappa, focus=0.0)
        (tensor([0.6931, 0.1054]), tensor([0.5000, 0.9000]))
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"`rate` should be in [0, 1]. Found `rate = {rate}`.")
    if not focus >= 0:
        raise ValueError(f"`focus` should be non-negative. Found `focus = {focus}`.")
    averages = rate * indicators + (1 - rate) * averages
    inside = averages.clamp(_MARGIN, 1 - _MARGIN)
    return -((1 - inside) ** focus) * inside.log(), averages
