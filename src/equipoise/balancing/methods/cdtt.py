"""CDTT: EDM's direction, pulled towards the tasks whose gradients stay large."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.gram import GramBalancer
from equipoise.balancing.bases.weights import MeasureAt
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import hyper, within
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.methods.edm import edm
from equipoise.balancing.solvers import read_gram, stationarity_floor
from equipoise.balancing.state.per_task import read_tasks, write_tasks

__all__ = ["CDTT", "CDTTState", "cdtt"]

_WINDOW = 10


class CDTTState(NamedTuple):
    """State of CDTT. All tensors are float64.

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
        SolverError: As :func:`~equipoise.balancing.methods.edm`.

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


@register
class CDTT(GramBalancer):
    """Central direction (EDM) for ten steps, then with a tension towards each task (Nakamura, Grassi and Wolf).

    The tension of a task grows with the ratio of its gradient norms over the last ten steps to those of a step before
    and with the logarithm of its loss; its length is at most 1 whatever the gradients' length, so that the method
    depends on their scale. Tasks have their own history: the tension starts when all tasks in the batch have been
    there for ten steps. Then, in the order of the losses, a conflict with a task is removed, which can make another.

    A step with a zero gradient leaves the shared parameters alone and is not counted, as in P2's code (if all are zero,
    all weights are 1 / T). Losses should be positive; others count as the smallest positive number.

    Args:
        sensitivity: How much the tension varies, in [0, 1]. The authors' toy has 0.3; P2 searches 0.2 to 1.
        measure_at: Where the gradients are looked at.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.
    """

    info = MethodInfo(
        name="cdtt",
        title="Central direction with task tensioner",
        paper='Nakamura et al., "Leveraging convergence behavior to balance conflicting tasks", Neurocomputing 2022',
        default_place=Place.SHARED,
        scale="mean: the weights sum to 1",
        heads="plain",
        state="gradient norms of ten steps and their sums, steps, count of unsolved steps",
    )
    mean_type = True

    sensitivity: float = hyper(default=0.2, rule=within(0, 1), source="P2's code")
    measure_at: MeasureAt = hyper(default="shared", source="P2's code")
    scale_heads: bool = hyper(default=False, source="P2's code")

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"norms": {}, "totals": {}, "steps": {}}

    def solve(self, inputs: StepInputs, gram: Tensor) -> Tensor:
        """The weights by the histories of the tasks present, which then grow by a step."""
        tasks, held = inputs.tasks, self.state
        start = CDTTState.start(1)
        steps = min(held["steps"].get(task, 0) for task in tasks)
        state = CDTTState(
            read_tasks(held["norms"], tasks, start.norms[:, 0]).T,
            torch.tensor(float(steps), dtype=torch.float64),
            read_tasks(held["totals"], tasks, start.total[0]),
        )
        weights, new = cdtt(gram, inputs.losses, state, self.sensitivity)
        if new is not state:
            self.state = held | {
                "norms": write_tasks(held["norms"], tasks, new.norms.T),
                "totals": write_tasks(held["totals"], tasks, new.total),
                "steps": held["steps"] | {task: held["steps"].get(task, 0) + 1 for task in tasks},
            }
        return weights
