"""What every solver does with a Gram matrix before it solves anything: check it, bring it to float64, scale it."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Normalized(NamedTuple):
    """A Gram matrix split into lengths and angles: ``gram = norms[:, None] * cosines * norms``.

    Attributes:
        norms: The norms of the gradients, shape ``[T]``.
        cosines: The cosines between them, shape ``[T, T]``; rows and columns of zero gradients are zero.
    """

    norms: Tensor
    cosines: Tensor


def read_gram(gram: Tensor) -> Tensor:
    """Check a Gram matrix and bring it to the host in float64 (the one transfer that a solver makes).

    Raises:
        ValueError: If ``gram`` is not a finite, symmetric ``[T, T]`` floating-point tensor with a non-negative
            diagonal.
    """
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or gram.shape[0] == 0 or not gram.is_floating_point():
        raise ValueError(
            "`gram` should be a square floating-point matrix with one row per task. "
            f"Found `gram` of shape {list(gram.shape)} and dtype {gram.dtype}."
        )
    host = gram.detach().to("cpu", torch.float64)
    if not math.isfinite(host.sum().item()):
        raise ValueError("`gram` should be finite. Found NaN or infinity: check the losses and gradients it came from.")
    if not torch.equal(host, host.T):
        _check_symmetry(host, torch.finfo(gram.dtype).eps)
        host = (host + host.T) / 2
    if host.diagonal().min().item() < 0:
        raise ValueError(
            "`gram` should have a non-negative diagonal, the squared norms of the gradients. "
            f"Found `gram.diagonal() = {host.diagonal().tolist()}`."
        )
    return host


def normalized(gram: Tensor) -> Normalized:
    """Split a checked Gram matrix into norms and cosines, which makes every solver independent of the scale."""
    norms = gram.diagonal().sqrt()
    inverse = norms.reciprocal().nan_to_num_(posinf=0.0)
    return Normalized(norms, gram * inverse * inverse[:, None])


def stationarity_floor(tasks: int, precision: float) -> float:
    """The squared norm of a convex combination of unit gradients below which it is rounding.

    A cosine carries an absolute error of the order of the precision in which the Gram matrix was computed, and so does
    every convex combination of cosines.
    """
    return 4 * tasks * precision


def _check_symmetry(gram: Tensor, precision: float) -> None:
    norms = gram.diagonal().clamp(min=0).sqrt()
    # Both triangles are computed from the same numbers, so that they differ by rounding only; its size grows with D.
    excess = ((gram - gram.T).abs() - math.sqrt(precision) * norms * norms[:, None]).max().item()
    if excess > 0:
        raise ValueError(
            "`gram` should be symmetric, as `jacobian @ jacobian.T` is. "
            f"Found `(gram - gram.T).abs().max() = {(gram - gram.T).abs().max().item():g}`."
        )
