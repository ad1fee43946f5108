"""Recorded steps as arrays, in which tasks may be missing from steps."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars

from equipoise.diagnosis.implied import implied_weights


@dataclass(frozen=True)
class Evidence:
    """N recorded steps of T tasks.

    A task without labels or with a gradient of zero is absent from a step: it has no direction there. Steps with
    numbers that are not finite, and those in which no task has a gradient, are left out.

    Attributes:
        tasks: All T, in the order in which they appear.
        steps: [N], counted from 1.
        present: [N, T].
        losses: [N, T], NaN where absent, as in all that follows but `gram`.
        weights: [N, T]; of methods without weights, those that they gave in effect.
        gram: [N, T, T], 0 where absent.
        with_update: [N, T].
        update_square: [N].
        coherence: [N, T].
        weighted: Whether the method gave weights.
        dropped: Steps that were left out.
    """

    tasks: tuple[str, ...]
    steps: np.ndarray
    present: np.ndarray
    losses: np.ndarray
    weights: np.ndarray
    gram: np.ndarray
    with_update: np.ndarray
    update_square: np.ndarray
    coherence: np.ndarray
    weighted: bool
    dropped: int

    @cached_property
    def norms(self) -> np.ndarray:
        """[N, T], 0 where absent."""
        return np.sqrt(np.clip(np.einsum("nii->ni", self.gram), 0, None))

    @cached_property
    def cosines(self) -> np.ndarray:
        """Between tasks, [N, T, T]; NaN where one is absent."""
        with np.errstate(invalid="ignore"):
            return self.gram / (self.norms[:, :, None] * self.norms[:, None, :])

    @cached_property
    def fair(self) -> np.ndarray:
        """What each task would own if all were equal, [T]."""
        return fair_shares(self.present)

    def part(self, chosen: slice) -> "Evidence":
        """Some of the steps."""
        arrays = ("steps", "present", "losses", "weights", "gram", "with_update", "update_square", "coherence")
        cut = {name: getattr(self, name)[chosen] for name in arrays}
        return Evidence(tasks=self.tasks, weighted=self.weighted, dropped=self.dropped, **cut)


def fair_shares(present: np.ndarray) -> np.ndarray:
    """One over the number of tasks that are present, mean over the steps in which a task is, [T], from [N, T]."""
    each = present / np.maximum(present.sum(axis=1, keepdims=True), 1)
    return each.sum(axis=0) / np.maximum(present.sum(axis=0), 1)


def gather(recorded: polars.DataFrame) -> Evidence:
    """Arrays of what a probe has recorded.

    Args:
        recorded: From `Probe.recorded` or `equipoise.diagnosis.read`.
    """
    tasks = tuple(dict.fromkeys(task for names in recorded["tasks"] for task in names))
    count, steps = len(tasks), len(recorded)
    by_task = {name: np.full((steps, count), np.nan) for name in ("losses", "weights", "with_update", "coherence")}
    gram = np.zeros((steps, count, count))
    usable = np.zeros(steps, dtype=bool)
    for place, row in enumerate(recorded.iter_rows(named=True)):
        own = [tasks.index(task) for task in row["tasks"]]
        for name, array in by_task.items():
            array[place, own] = np.nan if row[name] is None else row[name]
        gram[place][np.ix_(own, own)] = np.array(row["gram"], dtype=float).reshape(len(own), len(own))
        numbers = [gram[place], by_task["losses"][place, own], by_task["with_update"][place, own]]
        numbers += [] if row["weights"] is None else [by_task["weights"][place, own]]
        finite = all(np.isfinite(array).all() for array in numbers) and np.isfinite(row["update_square"])
        usable[place] = finite and gram[place].diagonal().max(initial=0) > 0
        if usable[place] and row["weights"] is None:
            by_task["weights"][place] = implied_weights(gram[place], np.nan_to_num(by_task["with_update"][place]))
    gram = np.where(usable[:, None, None], gram, 0.0)
    present = np.einsum("nii->ni", gram) > 0
    return Evidence(
        tasks=tasks,
        steps=recorded["step"].to_numpy()[usable],
        present=present[usable],
        losses=by_task["losses"][usable],
        weights=np.where(present, by_task["weights"], np.nan)[usable],
        gram=gram[usable],
        with_update=np.where(present, by_task["with_update"], np.nan)[usable],
        update_square=np.clip(recorded["update_square"].to_numpy(), 0, None)[usable],
        coherence=np.where(present, by_task["coherence"], np.nan)[usable],
        weighted=recorded["weights"].null_count() == 0,
        dropped=int((~usable).sum()),
    )
