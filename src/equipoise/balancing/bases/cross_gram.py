"""The base class of methods that learn simplex weights from the gradients of independent batches."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from equipoise.balancing.bases.weights import WeightBalancer
from equipoise.balancing.context import Need
from equipoise.balancing.engine import distributed
from equipoise.balancing.engine.step import Step
from equipoise.balancing.engine.task_gradients import TaskGradients
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.errors import NonFiniteError
from equipoise.balancing.hyper_parameters import hyper
from equipoise.balancing.info import Place
from equipoise.balancing.state.per_task import read_tasks, write_tasks


class CrossGramBalancer(WeightBalancer):
    """A method that weighs the gradients of one batch by inner products of the gradients of two others.

    J J^T of one batch overestimates the lengths of the expected gradients by the batch's noise. J_1 J_2^T of two
    independent batches does not. The batch of the step is differentiated once, as in a plain step. Each of the two
    further batches costs a pass through the trunk for each task.

    A task that is missing from one of the batches keeps its share of the weights, and the others divide the rest.

    Args:
        batches: 3, or 1 for the deterministic form, which uses the batch of the step three times and needs no context.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient, or the plain one.
    """

    batches: Literal[1, 3] = hyper(default=3)
    scale_heads: bool = hyper(default=False)

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"shares": {}}

    @abstractmethod
    def solve(self, cross: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the weights of the update and the new simplex weights, both [T].

        Args:
            cross: J_1 J_2^T, [T, T], float64.
            shares: The last simplex weights, [T].
        """

    @property
    def needs(self) -> frozenset[Need]:
        """Further batches, unless `batches` is 1."""
        return self.info.needs if self.batches > 1 else frozenset()

    def place(self, tasks: Sequence[str]) -> Place:
        """Return the losses if the gradients of other batches are measured, else the shared parameters."""
        return Place.LOSSES if self.batches > 1 else Place.SHARED

    def weigh(self, inputs: StepInputs) -> Tensor:
        """Compute the weights of the update from the inner products of the gradients of two batches."""
        held: dict[str, Tensor] = self.state["shares"]
        shares = read_tasks(held, inputs.tasks, inputs.losses.new_tensor(1 / len({*held, *inputs.tasks})).double())
        # The tasks present divide their total share among them, so that absent tasks keep theirs.
        mass = shares.sum()
        shares = shares / mass if bool(mass > 0) else torch.full_like(shares, 1 / len(shares))
        if inputs.gram is not None:
            cross, common = inputs.gram, list(inputs.tasks)
        else:
            cross, common = self._cross(inputs)
        places = [inputs.tasks.index(task) for task in common]
        part = shares[places].sum()
        weights = shares.clone()
        if common and bool(part > 0):
            effective, new = self.solve(cross, shares[places] / part)
            weights[places], shares[places] = part * effective.to(shares), part * new.to(shares)
        self.state = {"shares": write_tasks(held, inputs.tasks, mass * shares)}
        return weights

    def head_weights(self, inputs: StepInputs, weights: Tensor) -> Tensor | None:
        """Weigh the heads like the shared parameters, or by ones with `scale_heads=False`."""
        return None if self.scale_heads else torch.ones_like(weights)

    def _cross(self, inputs: StepInputs) -> tuple[Tensor, list[str]]:
        (first_tasks, first), (second_tasks, second) = self._further_gradients(inputs), self._further_gradients(inputs)
        common = [task for task in inputs.tasks if task in first_tasks and task in second_tasks]
        cross = first.cross(second)
        cross = cross[[first_tasks.index(task) for task in common]][:, [second_tasks.index(task) for task in common]]
        return cross.to(inputs.losses.device), common

    def _further_gradients(self, inputs: StepInputs) -> tuple[tuple[str, ...], TaskGradients]:
        forward = inputs.context.forward(Need.FURTHER, self.info.name)
        features = [forward.features] if isinstance(forward.features, Tensor) else forward.features
        shared = inputs.step.shared if inputs.step else ()
        further = Step.begin(forward.losses, features, shared)
        gradients = further.gradients(Place.SHARED, self.info.name)
        assert gradients is not None
        values = further.values
        # Over all processes, so that all refuse the batch if one does.
        distributed.mean_(values)
        finite = (values + gradients.gram().diagonal().to(values)).isfinite().tolist()
        bad = [task for task, good in zip(further.tasks, finite, strict=True) if not good]
        if bad:
            raise NonFiniteError(
                f"The loss or gradient of {', '.join(bad)} in a further batch is NaN or infinite.", bad
            )
        return further.tasks, gradients
