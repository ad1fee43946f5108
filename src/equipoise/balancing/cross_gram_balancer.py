"""The base of methods that learn simplex weights from the gradients of independent batches."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, Unpack

import torch
from torch import Tensor

from equipoise.balancing import processes
from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import WeightBalancer
from equipoise.balancing.checks import require
from equipoise.balancing.context import Need
from equipoise.balancing.errors import NonFiniteError
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.opening import open_step
from equipoise.balancing.rows import Rows
from equipoise.balancing.source import Source
from equipoise.balancing.taskwise import gathered, updated


class CrossGramBalancer(WeightBalancer):
    """A method that weighs the gradients of one batch by products of those of two others.

    J J^T of one batch overestimates the lengths of the expected gradients by the batch's noise; J_1 J_2^T of two
    independent batches does not. The batch of the step is only differentiated once, as in a plain step; the two further
    ones cost a pass through the trunk for each task.

    A task that is missing from one of the batches keeps its share of the weights, and the others divide the rest.

    Args:
        batches: 3, or 1 for the deterministic form, in which the batch of the step plays all parts and no context is
            needed.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient, or the plain one.
    """

    def __init__(self, *, batches: Literal[1, 3] = 3, scale_heads: bool = False, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        require(batches in (1, 3), "batches", batches, "be 1 or 3")
        self.batches, self.scale_heads = batches, scale_heads
        self.memory: dict[str, Any] = {"shares": {}}

    @abstractmethod
    def solve(self, cross: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """The weights of the update and the new simplex weights, [T] both.

        Args:
            cross: J_1 J_2^T, [T, T], float64.
            shares: The last simplex weights, [T].
        """

    @property
    def needs(self) -> frozenset[Need]:
        """Further batches, unless one plays all parts."""
        return self.record.needs if self.batches > 1 else frozenset()

    def source(self, tasks: Sequence[str]) -> Source:
        """The losses alone where the gradients of other batches are looked at."""
        return Source.LOSSES if self.batches > 1 else Source.SHARED

    def weigh(self, evidence: Evidence) -> Tensor:
        """The weights of the update, by the products of the gradients of two batches."""
        held: dict[str, Tensor] = self.memory["shares"]
        shares = gathered(held, evidence.tasks, evidence.losses.new_tensor(1 / len({*held, *evidence.tasks})).double())
        # What the present tasks have together is theirs to divide, so that absent ones keep their part.
        mass = shares.sum()
        shares = shares / mass if bool(mass > 0) else torch.full_like(shares, 1 / len(shares))
        if evidence.gram is not None:
            cross, common = evidence.gram, list(evidence.tasks)
        else:
            cross, common = self._cross(evidence)
        places = [evidence.tasks.index(task) for task in common]
        part = shares[places].sum()
        weights = shares.clone()
        if common and bool(part > 0):
            effective, learned = self.solve(cross, shares[places] / part)
            weights[places], shares[places] = part * effective.to(shares), part * learned.to(shares)
        self.memory = {"shares": updated(held, evidence.tasks, mass * shares)}
        return weights

    def head_weights(self, evidence: Evidence, weights: Tensor) -> Tensor | None:
        """As the losses are weighted, or ones with `scale_heads=False`."""
        return None if self.scale_heads else torch.ones_like(weights)

    def _cross(self, evidence: Evidence) -> tuple[Tensor, list[str]]:
        (first_tasks, first), (second_tasks, second) = self._look(evidence), self._look(evidence)
        common = [task for task in evidence.tasks if task in first_tasks and task in second_tasks]
        cross = first.cross(second)
        cross = cross[[first_tasks.index(task) for task in common]][:, [second_tasks.index(task) for task in common]]
        return cross.to(evidence.losses.device), common

    def _look(self, evidence: Evidence) -> tuple[tuple[str, ...], Rows]:
        forward = evidence.context.forward(Need.FURTHER, self.record.name)
        features = [forward.features] if isinstance(forward.features, Tensor) else forward.features
        step = evidence.step
        values, further = open_step(forward.losses, features, step.shared if step else ())
        if not further.shared:
            raise ValueError(
                f"`features` should lead to shared parameters that require a gradient: {self.record.name} balances "
                "theirs. Found none. Unfreeze the trunk, or use `uniform` or `fixed`."
            )
        rows = further.shared_rows()
        # So that all processes refuse it, if one does.
        processes.mean_(values)
        finite = (values + rows.gram().diagonal().to(values)).isfinite().tolist()
        bad = [task for task, good in zip(further.tasks, finite, strict=True) if not good]
        if bad:
            raise NonFiniteError(
                f"The loss or gradient of {', '.join(bad)} in a further batch is NaN or infinite.", bad
            )
        return further.tasks, rows
