"""CDTT: the direction of EDM, pulled towards the tasks whose gradients stay large."""

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
        norms: Gradient norms of the last ten steps, newest last, shape `[10, T]`.
        steps: Number of steps counted, a scalar.
        total: Sum of `norms` over the window of the previous step, shape `[T]`.
    """

    norms: Tensor
    steps: Tensor
    total: Tensor

    @classmethod
    def start(cls, tasks: int) -> "CDTTState":
        """Return the state before the first step."""
        zeros = torch.zeros(tasks, dtype=torch.float64)
        return cls(zeros.expand(_WINDOW, -1).clone(), torch.tensor(0.0, dtype=torch.float64), zeros)


@torch.no_grad()
def cdtt(gram: Tensor, losses: Tensor, state: CDTTState, sensitivity: float = 0.2) -> tuple[Tensor, CDTTState]:
    r"""Weights of CDTT (Nakamura, Grassi and Wolf, Neurocomputing 2022), and its new state.

    For ten steps these are the weights of EDM, with the direction $d_0$. Let $R_i$ be the sum of the last ten gradient
    norms at this step, divided by that at the step before. From the eleventh step on

    $$
    \tau_i = a\,\sigma\big(e\,(R_i + \log_{10} L_i - 1)\big) + 1 - a,\qquad
    d = d_0 + \sum_i \tau_i \frac{g_i - d_0}{\lVert g_i - d_0 \rVert}
    $$

    Then, for the tasks in order, a `d` that conflicts with $g_i$ moves towards $g_i$ until it does not. A later task
    can undo that. The tension has the absolute length $\tau_i$, so the method depends on the scale of the gradients. A
    task whose gradient equals $d_0$ to the precision of `gram` has no tension (public codes normalise rounding noise).
    With a zero gradient there is no update, and the step is not counted.

    Args:
        gram: Gram matrix of the task gradients, `J @ J.T`, shape `[T, T]`.
        losses: Losses, shape `[T]`. Those that are not positive count as the smallest positive number.
        state: The state, at first `CDTTState.start(T)`.
        sensitivity: `a` in [0, 1].

    Returns:
        Weights that sum to 1, possibly negative, shape `[T]`, dtype and device of `gram`, and the new state.

    Raises:
        ValueError: If `gram` is not a finite symmetric matrix or `sensitivity` is out of range.
        SolverError: As for `edm`.

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

    The tension of a task grows with the logarithm of its loss, and with the ratio of two sums of its gradient norms:
    over the last ten steps, and over the ten steps ending one step earlier. Its length is at most 1 for gradients of
    any length, so the method depends on their scale. Every task has its own history. The tension starts when all tasks
    in the batch have been there for ten steps. Finally conflicts are removed, task by task in the order of the losses.
    Removing one can cause another.

    A step with a zero gradient leaves the shared parameters unchanged and is not counted, as in the code of Gama &
    Grassi (2025). If all gradients are zero, all weights are 1 / T. Losses should be positive. Others count as the
    smallest positive number.

    Args:
        sensitivity: Range of the tension, in [0, 1]. The authors' toy problem has 0.3. Gama & Grassi (2025) search
            0.2 to 1.
        measure_at: Where gradients are measured.
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

    sensitivity: float = hyper(default=0.2, rule=within(0, 1), source="code of Gama & Grassi 2025")
    measure_at: MeasureAt = hyper(default="shared", source="code of Gama & Grassi 2025")
    scale_heads: bool = hyper(default=False, source="code of Gama & Grassi 2025")

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"norms": {}, "totals": {}, "steps": {}}

    def solve(self, inputs: StepInputs, gram: Tensor) -> Tensor:
        """Compute the weights from the histories of the tasks, and add this step to them."""
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
