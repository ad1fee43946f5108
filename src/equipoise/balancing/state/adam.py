"""Optimisers of values that a balancer keeps in its state: one tensor, or one scalar for each task."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.adam import adam as torch_adam

from equipoise._core.errors import require
from equipoise.balancing.state.per_task import read_tasks, write_tasks

_FIRST, _SECOND, _MARGIN = 0.9, 0.999, 1e-8


@torch.no_grad()
def adam(
    value: Tensor, gradient: Tensor, moments: dict[str, Any] | None, rate: float, decay: float = 0.0
) -> tuple[Tensor, dict[str, Any]]:
    """Take one step of `torch.optim.Adam` with its default moments, without changes in place.

    Args:
        value: Tensor to train.
        gradient: Gradient, of the same shape.
        moments: Moments that the last step returned; None before the first.
        rate: Learning rate.
        decay: Weight decay, added to the gradient (L2).

    Returns:
        The new value and the new moments.

    Example:
        >>> import torch
        >>> value, moments = adam(torch.ones(2), torch.tensor([1.0, -5.0]), None, 0.1)
        >>> value
        tensor([0.9000, 1.1000])
    """
    old = moments or {"steps": 0.0, "first": torch.zeros_like(value), "second": torch.zeros_like(value)}
    value, first, second = value.clone(), old["first"].clone(), old["second"].clone()
    torch_adam(
        [value],
        [gradient],
        [first],
        [second],
        [],
        [torch.tensor(old["steps"])],
        foreach=False,
        amsgrad=False,
        beta1=_FIRST,
        beta2=_SECOND,
        lr=rate,
        weight_decay=decay,
        eps=_MARGIN,
        maximize=False,
    )
    return value, {"steps": old["steps"] + 1.0, "first": first, "second": second}


@dataclass(frozen=True)
class TaskOptimizer:
    """Optimiser of one scalar for each task: plain gradient descent, or Adam without weight decay.

    Adam is that of Kingma and Ba (2015) with PyTorch's defaults (0.9, 0.999, 1e-8). Every task has its own moments and
    step count, so that a task that is missing for a while continues where it was. If no task is ever missing, the
    updates are those of `torch.optim.SGD` and `torch.optim.Adam`.

    Args:
        learning_rate: Positive.
        optimizer: "adam" or "sgd".
        initial: Scalar of a task before its first step.
        bound: Largest magnitude of a scalar; None for no limit.

    Raises:
        ValueError: `initial` is beyond the bound.
    """

    learning_rate: float
    optimizer: Literal["adam", "sgd"]
    initial: float
    bound: float | None = None

    def __post_init__(self) -> None:
        inside = self.bound is None or abs(self.initial) <= self.bound
        require(inside, "initial", self.initial, f"be within the bound of {self.bound}")

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"values": {}, "steps": {}, "first_moments": {}, "second_moments": {}}

    def values(self, state: dict[str, Any], tasks: Sequence[str], like: Tensor) -> Tensor:
        """Return the scalars of these tasks, [T], in the dtype and on the device of a tensor."""
        return read_tasks(state["values"], tasks, like.new_tensor(self.initial))

    def step(self, state: dict[str, Any], tasks: Sequence[str], gradient: Tensor) -> dict[str, Any]:
        """Return the state after a step against a gradient, [T]."""
        values = self.values(state, tasks, gradient)
        if self.optimizer == "sgd":
            return self.set_values(state, tasks, values - self.learning_rate * gradient)
        zero = torch.zeros_like(gradient[0])
        first = read_tasks(state["first_moments"], tasks, zero).lerp(gradient, 1 - _FIRST)
        second = _SECOND * read_tasks(state["second_moments"], tasks, zero) + (1 - _SECOND) * gradient**2
        steps = {task: state["steps"].get(task, 0) + 1 for task in tasks}
        unbiased = first / gradient.new_tensor([1 - _FIRST**count for count in steps.values()])
        spread = (second / gradient.new_tensor([1 - _SECOND**count for count in steps.values()])).sqrt()
        state = self.set_values(state, tasks, values - self.learning_rate * unbiased / (spread + _MARGIN))
        return state | {
            "steps": state["steps"] | steps,
            "first_moments": write_tasks(state["first_moments"], tasks, first),
            "second_moments": write_tasks(state["second_moments"], tasks, second),
        }

    def set_values(self, state: dict[str, Any], tasks: Sequence[str], values: Tensor) -> dict[str, Any]:
        """Return the state with other scalars, [T], clamped to the bound."""
        inside = values if self.bound is None else values.clamp(-self.bound, self.bound)
        return state | {"values": write_tasks(state["values"], tasks, inside)}
