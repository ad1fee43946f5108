"""The base of methods that go by the average losses of whole epochs."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Unpack

import torch
from torch import Tensor

from equipoise._core.errors import require
from equipoise.balancing.balancer import Common
from equipoise.balancing.bases.weights import WeightBalancer
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.state.per_task import gathered, updated


class EpochBalancer(WeightBalancer):
    """A method that averages the losses over each epoch.

    A task's average is over the steps in which it was present; a task that was absent for a whole epoch keeps what it
    had. Averages are in float64.

    Args:
        window: Number of steps that count as an epoch, for trainings that know no epochs; none to wait for
            `end_epoch`, which the training loop calls after every epoch. Without either, no epoch ever ends.
    """

    def __init__(self, *, window: int | None = None, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        require(window is None or window >= 1, "window", window, "be at least 1 or None")
        self.window = window
        self.state: dict[str, Any] = {"steps": 0, "counts": {}, "means": {}}

    @abstractmethod
    def weights_now(self, inputs: StepInputs) -> Tensor:
        """The weights, [T], by the averages of past epochs."""

    @abstractmethod
    def learned(self, averages: Mapping[str, Tensor]) -> dict[str, Any]:
        """What to change in the memory, given the average losses of the epoch that has just ended."""

    def weigh(self, inputs: StepInputs) -> Tensor:
        """The weights by past epochs; the losses count for the current one."""
        weights = self.weights_now(inputs)
        losses = inputs.losses.double()
        counts = {task: self.state["counts"].get(task, 0) + 1 for task in inputs.tasks}
        means = gathered(self.state["means"], inputs.tasks, torch.zeros_like(losses[0]))
        means = means + (losses - means) / losses.new_tensor(list(counts.values()))
        self.state = self.state | {
            "steps": self.state["steps"] + 1,
            "counts": self.state["counts"] | counts,
            "means": updated(self.state["means"], inputs.tasks, means),
        }
        if self.state["steps"] == self.window:
            self._finish()
        return weights

    def end_epoch(self) -> None:
        """Close the epoch, unless `window` says what an epoch is."""
        if self.window is None and self.state["steps"] > 0:
            self._finish()

    def _finish(self) -> None:
        self.state = self.state | self.learned(self.state["means"]) | {"steps": 0, "counts": {}, "means": {}}
