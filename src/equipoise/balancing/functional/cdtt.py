"""CDTT: EDM's direction, pulled towards the tasks whose gradients stay large."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from equipoise.balancing.functional.edm import edm
from equipoise.balancing.solvers import read_gram, stationarity_floor

_WINDOW = 10


class CDTTState(NamedTuple):
    """The memory of CDTT, all float64.

    Attributes:
        norms: The gradient norms of the last steps, the newest last, shape ``[10, T]``.
        steps: The number of steps seen, a scalar.
        total: The sum of ``norms`` over the window of the previous step, shape ``[T]``.
    """

    norms: Tensor
    steps: Tensor
    total: Tensor

    @classmethod
    def start(cls, tasks: int) -> "CDTTState":
        """The state before the first step."""
        zeros = torch.zeros(tasks, dtype=torch.float64)
        return cls(zeros.expand(_WINDOW, -1).clone(), torch.tensor(0.0, dtype=torch.float64), zeros)


@torch.no_grad()
def cdtt(gram: Tensor, losses: Tensor, state: CDTTState, sensitivity: float = 0.2) -> tuple[Tensor, CDTTState]:
    r"""Weights of CDTT (Nakamura, Grassi and Wolf, Neurocomputing 2022), and its new state.

    For ten steps these are the weights of EDM, with the direction :math:`d_0`. Then, with the ratio :math:`R_i` of the
    sums of the last ten gradient norms at this step and at the one before,

    .. math:: \tau_i = a\,\sigma\big(e\,(R_i + \log_{10} L_i - 1)\big) + 1 - a,\qquad
        d = d_0 + \sum_i \tau_i \frac{g_i - d_0}{\lVert g_i - d_0 \rVert}

    and, for the tasks in order, a ``d`` that conflicts with :math:`g_i` moves on the segment to :math:`g_i` until it
    does not. A later task can undo that. The tension has the absolute length :math:`\tau_i`, so that the method depends
    on the scale of the gradients. A task whose gradient is :math:`d_0` to the precision of ``gram`` has no tension
    (public codes normalise rounding noise). With a zero gradient there is no update, and the step is not counted.

    Args:
        gram: Gram matrix of the task gradients, ``J @ J.T``, shape ``[T, T]``.
        losses: Losses, shape ``[T]``; those that are not positive count as the smallest positive number.
        state: The state, at first ``CDTTState.start(T)``.
        sensitivity: ``a`` in [0, 1].

    Returns:
        Weights that sum to 1, possibly negative, shape ``[T]``, dtype and device of ``gram``, and the new state.

    Raises:
        ValueError: If ``gram`` is not a finite symmetric matrix or ``sensitivity`` is out of range.
        SolverError: As :func:`~equipoise.balancing.functional.edm`.

    Example:
        >>> import torch
        >>> weights, state = cdtt(torch.eye(2), torch.ones(2), CDTTState.start(2))
        >>> weights
        tensor([0.5000, 0.5000])
    """
    if not 0 <= sensitivity <= 1:
        raise ValueError(f"`sensitivity` should be in [0, 1]. Found `sensitivity = {sensitivity}`.")
    host = read_gram(gram).matrix
    weights = edm(gram).to(host)
    norms = host.diagonal().sqrt()
    if norms.min().item() == 0:
        return weights.to(gram), state
    window = torch.cat((state.norms[1:].to(host), norms[None]))
    total = window.sum(0)
    count = state.steps + 1
    if count.item() > _WINDOW:
        positive = losses.to(host).clamp(min=torch.finfo(torch.float64).tiny)
        pressure = total / state.total.to(host) + positive.log10()
        tension = sensitivity * (math.e * (pressure - 1)).sigmoid() + 1 - sensitivity
        weights = _without_conflicts(host, _tensioned(host, weights, tension, torch.finfo(gram.dtype).eps))
    return weights.to(gram), CDTTState(window, count, total)


def _tensioned(gram: Tensor, weights: Tensor, tension: Tensor, precision: float) -> Tensor:
    offsets = torch.eye(len(weights), dtype=weights.dtype) - weights
    squared = ((offsets @ gram) * offsets).sum(1)
    apart = squared > stationarity_floor(len(weights), precision) * gram.diagonal().max()
    pull = torch.where(apart, tension / squared.clamp(min=0).sqrt(), torch.zeros_like(tension))
    return weights * (1 - pull.sum()) + pull


def _without_conflicts(gram: Tensor, weights: Tensor) -> Tensor:
    for task, row in enumerate(gram):
        product, squared_norm = torch.dot(row, weights).item(), row[task].item()
        if product < 0:
            share = squared_norm / (squared_norm - product)
            weights = share * weights
            weights[task] += 1 - share
    return weights
