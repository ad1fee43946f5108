"""Adam on tensors that a balancer keeps in its memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.adam import adam as torch_adam

from equipoise._core.errors import require
from equipoise.balancing.state.per_task import gathered, updated


@torch.no_grad()
def adam(
    value: Tensor, gradient: Tensor, moments: dict[str, Any] | None, rate: float, decay: float = 0.0
) -> tuple[Tensor, dict[str, Any]]:
    """One step of `torch.optim.Adam` with its usual moments; nothing is changed in place.

    Args:
        value: What is trained.
        gradient: Of the same shape.
        moments: What the last step returned; none before the first.
        rate: Learning rate.
        decay: Weight decay, added to the gradient (L2).

    Returns:
        The new value and moments.

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
        beta1=0.9,
        beta2=0.999,
        lr=rate,
        weight_decay=decay,
        eps=1e-8,
        maximize=False,
    )
    return value, {"steps": old["steps"] + 1.0, "first": first, "second": second}


_FIRST, _SECOND, _MARGIN = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Learner:
    """Plain gradient descent, or Adam (Kingma and Ba 2015, as in PyTorch: 0.9, 0.999, 1e-8), without weight decay.

    Every task has its own moments and count of steps, so that a task that is missing for a while continues where it
    was. When all tasks are always there the updates are those of `torch.optim.SGD` and `torch.optim.Adam`.

    Args:
        learning_rate: Positive.
        optimizer: "adam" or "sgd".
        initial: The scalar of a task that has not been trained.
        bound: The largest magnitude that a scalar may have; none for no limit.

    Raises:
        ValueError: An argument is out of range.
    """

    learning_rate: float
    optimizer: Literal["adam", "sgd"]
    initial: float
    bound: float | None = None

    def __post_init__(self) -> None:
        rate = self.learning_rate
        require(0 < rate < float("inf"), "learning_rate", rate, "be positive and finite")
        require(self.optimizer in ("adam", "sgd"), "optimizer", self.optimizer, "be 'adam' or 'sgd'")
        require(self.bound is None or self.bound > 0, "bound", self.bound, "be positive or None")
        inside = abs(self.initial) <= (float("inf") if self.bound is None else self.bound)
        require(inside, "initial", self.initial, "be within the bound")

    def start(self) -> dict[str, Any]:
        """The memory before the first step."""
        return {"values": {}, "steps": {}, "first_moments": {}, "second_moments": {}}

    def values(self, memory: dict[str, Any], tasks: Sequence[str], like: Tensor) -> Tensor:
        """The scalars of these tasks, [T], in the dtype and on the device of a tensor."""
        return gathered(memory["values"], tasks, like.new_tensor(self.initial))

    def learned(self, memory: dict[str, Any], tasks: Sequence[str], gradient: Tensor) -> dict[str, Any]:
        """The memory after a step against a gradient, [T]."""
        values = self.values(memory, tasks, gradient)
        if self.optimizer == "sgd":
            return self.replaced(memory, tasks, values - self.learning_rate * gradient)
        nothing = torch.zeros_like(gradient[0])
        first = gathered(memory["first_moments"], tasks, nothing).lerp(gradient, 1 - _FIRST)
        second = _SECOND * gathered(memory["second_moments"], tasks, nothing) + (1 - _SECOND) * gradient**2
        steps = {task: memory["steps"].get(task, 0) + 1 for task in tasks}
        unbiased = first / gradient.new_tensor([1 - _FIRST**count for count in steps.values()])
        spread = (second / gradient.new_tensor([1 - _SECOND**count for count in steps.values()])).sqrt()
        memory = self.replaced(memory, tasks, values - self.learning_rate * unbiased / (spread + _MARGIN))
        return memory | {
            "steps": memory["steps"] | steps,
            "first_moments": updated(memory["first_moments"], tasks, first),
            "second_moments": updated(memory["second_moments"], tasks, second),
        }

    def replaced(self, memory: dict[str, Any], tasks: Sequence[str], values: Tensor) -> dict[str, Any]:
        """The memory with other scalars, [T], kept within the bound."""
        inside = values if self.bound is None else values.clamp(-self.bound, self.bound)
        return memory | {"values": updated(memory["values"], tasks, inside)}
