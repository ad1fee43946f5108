"""The base class of methods that use the average losses of whole epochs."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from equipoise.balancing.bases.weights import WeightBalancer
from equipoise.balancing.context import Need
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import at_least, hyper, or_none
from equipoise.balancing.state.per_task import read_tasks, write_tasks


class EpochBalancer(WeightBalancer):
    """A method that averages the losses over each epoch.

    A task's average is over the steps in which it was present. A task that was absent for a whole epoch keeps its last
    average. Averages are in float64.

    Args:
        window: Number of steps that count as an epoch, for trainings without epochs. None to wait for `end_epoch`,
            which the training loop calls after every epoch. Without either, no epoch ever ends.
    """

    window: int | None = hyper(default=None, rule=or_none(at_least(1)))

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"steps": 0, "counts": {}, "means": {}}

    @property
    def needs(self) -> frozenset[Need]:
        """A call of `end_epoch` after every epoch, unless `window` defines epochs."""
        return self.info.needs if self.window is None else self.info.needs - {Need.END_EPOCH}

    @abstractmethod
    def epoch_weights(self, inputs: StepInputs) -> Tensor:
        """Compute the weights, [T], from the averages of past epochs."""

    @abstractmethod
    def state_after_epoch(self, averages: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the changes of the state at the end of an epoch with these average losses."""

    def weigh(self, inputs: StepInputs) -> Tensor:
        """Compute the weights from past epochs, and add the losses to the current one."""
        weights = self.epoch_weights(inputs)
        losses = inputs.losses.double()
        counts = {task: self.state["counts"].get(task, 0) + 1 for task in inputs.tasks}
        means = read_tasks(self.state["means"], inputs.tasks, torch.zeros_like(losses[0]))
        means = means + (losses - means) / losses.new_tensor(list(counts.values()))
        self.state = self.state | {
            "steps": self.state["steps"] + 1,
            "counts": self.state["counts"] | counts,
            "means": write_tasks(self.state["means"], inputs.tasks, means),
        }
        if self.state["steps"] == self.window:
            self._finish()
        return weights

    def on_epoch_end(self) -> None:
        """Close the epoch, unless `window` defines epochs."""
        if self.window is None and self.state["steps"] > 0:
            self._finish()

    def _finish(self) -> None:
        self.state = self.state | self.state_after_epoch(self.state["means"]) | {"steps": 0, "counts": {}, "means": {}}
