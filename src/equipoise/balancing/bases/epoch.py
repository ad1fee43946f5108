"""The base of methods that go by the average losses of whole epochs."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from equipoise.balancing.bases.weights import WeightBalancer
from equipoise.balancing.context import Need
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import at_least, hyper, or_none
from equipoise.balancing.state.per_task import gathered, updated


class EpochBalancer(WeightBalancer):
    """A method that averages the losses over each epoch.

    A task's average is over the steps in which it was present; a task that was absent for a whole epoch keeps what it
    had. Averages are in float64.

    Args:
        window: Number of steps that count as an epoch, for trainings that know no epochs; none to wait for
            `end_epoch`, which the training loop calls after every epoch. Without either, no epoch ever ends.
    """

    window: int | None = hyper(default=None, rule=or_none(at_least(1)))

    def initial_state(self) -> dict[str, Any]:
        """Return averages of no steps."""
        return {"steps": 0, "counts": {}, "means": {}}

    @property
    def needs(self) -> frozenset[Need]:
        """A call of `end_epoch` after every epoch, unless `window` says what an epoch is."""
        return self.info.needs if self.window is None else self.info.needs - {Need.END_EPOCH}

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

    def on_epoch_end(self) -> None:
        """Close the epoch, unless `window` says what an epoch is."""
        if self.window is None and self.state["steps"] > 0:
            self._finish()

    def _finish(self) -> None:
        self.state = self.state | self.learned(self.state["means"]) | {"steps": 0, "counts": {}, "means": {}}
