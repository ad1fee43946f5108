"""Checks of predictions and targets that several metrics and tasks share."""

import torch
from torch import Tensor


def require_same_shape(prediction: Tensor, target: Tensor) -> None:
    """Check that a prediction has the shape of its target. Broadcasting would average over the wrong pixels.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> require_same_shape(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2))
        Traceback (most recent call last):
        ValueError: `prediction` should have the shape of `target`. Found `prediction.shape = (1, 1, 2, 2)` and ...
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"`prediction` should have the shape of `target`. Found `prediction.shape = {tuple(prediction.shape)}` "
            f"and `target.shape = {tuple(target.shape)}`."
        )


def finite_above(prediction: Tensor, target: Tensor, bound: float = -torch.inf) -> Tensor:
    """Return which values of a target are labels: those that are finite and greater than a bound.

    Args:
        prediction: Values of any shape.
        target: Values of the same shape.
        bound: The bound; 0 for depths and disparities, where 0 means unknown.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> finite_above(torch.zeros(3), torch.tensor([2.0, 0.0, torch.nan]), bound=0).tolist()
        [True, False, False]
    """
    require_same_shape(prediction, target)
    return (target > bound) & target.isfinite()
