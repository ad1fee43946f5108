"""A probe: records the task gradients of some training steps.

This module imports torch alone. The records are kept in a polars frame, for which `Probe` needs the laboratory.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from equipoise._core.errors import import_extra, require
from equipoise._core.text import choose
from equipoise.balancing import Balance
from equipoise.balancing.engine import distributed
from equipoise.balancing.engine.observation import Measurement, gradient_difference, measure
from equipoise.balancing.engine.step import Step
from equipoise.balancing.info import Place

if TYPE_CHECKING:
    import polars
    from matplotlib.figure import Figure

    from equipoise.diagnosis.verdict import Verdict

_PLACE_OF_OPTION = {"last_layer": Place.LAST_LAYER, "features": Place.FEATURES, "shared": Place.SHARED}


@dataclass
class ProbedStep:
    """A step that a probe records.

    Attributes:
        balance: The outcome of a balancer, to be set inside the step if there is one: the probe records its weights.
            Without it every task has weight 1.
    """

    balance: Balance | None = None


class Probe:
    """Records the task gradients while a network trains, with any balancing method.

    Passed to a balancer, it costs at most T weight gradients of one layer, on the recorded steps alone:

        probe = Probe(every=10)
        balance = balancer.backward(losses, features=features, last_layer=layer, probe=probe)

    Around any other loop, such as one that sums its losses, it differentiates the heads once more on recorded steps:

        with probe.step(losses, features=features, last_layer=layer):
            sum(losses.values()).backward()

    Nothing is copied from the device before `flush` or another method needs the numbers. The probe needs the
    laboratory: `pip install 'equipoise[lab]'`.

    Args:
        every: Steps from one recorded step to the next. The first step is recorded.
        at: The place of the gradients: "last_layer" (as in Guo et al. (2025)), "features", or "shared" (all shared
            parameters, at the cost of one backward pass of the trunk a task).
        path: The Parquet file that `flush` writes; none keeps the records in memory alone.

    Raises:
        ValueError: `every` is below 1, or `at` is no such place.
        MissingExtraError: The laboratory is not installed.

    Example:
        >>> trunk, heads = nn.Linear(3, 4), nn.ModuleDict({"a": nn.Linear(4, 1), "b": nn.Linear(4, 1)})
        >>> probe = Probe(every=1)
        >>> features = trunk(torch.randn(8, 3))
        >>> losses = {task: head(features).square().mean() for task, head in heads.items()}
        >>> with probe.step(losses, features=features, last_layer=trunk):
        ...     sum(losses.values()).backward()
        >>> probe.to_frame()["task"].to_list()
        ['a', 'b']
    """

    def __init__(
        self,
        *,
        every: int = 10,
        at: Literal["last_layer", "features", "shared"] = "last_layer",
        path: str | Path | None = None,
    ) -> None:
        # Not at the first look at the records, which may come after hours of training.
        for package in ("polars", "numpy", "scipy", "pydantic"):
            import_extra(package, extra="lab", purpose="`equipoise.Probe`")
        require(every >= 1, "every", every, "be at least 1")
        self.every = every
        self.at = choose("at", at, _PLACE_OF_OPTION)
        self.path = None if path is None else Path(path)
        self.steps = 0
        """The number of steps so far, recorded or not."""
        # By task: entries of its gradient in the last recorded step.
        self._samples: dict[str, Tensor] = {}
        self._pending: list[tuple[int, Measurement, Tensor | None]] = []
        self._records: polars.DataFrame | None = None

    # Called by a balancer

    def due(self) -> bool:
        """Count a step, and return whether it is to be recorded."""
        self.steps += 1
        return (self.steps - 1) % self.every == 0

    def write(self, measurement: Measurement) -> None:
        """Record a step.

        Args:
            measurement: The inner products of the task gradients and the update.
        """
        # Gradients at the features belong to one batch. They cannot be compared with those of another batch.
        coherence = None if self.at is Place.FEATURES else self._coherence(measurement)
        self._pending.append((self.steps, replace(measurement, sample=measurement.sample[:0]), coherence))

    # Called by a training loop

    @contextmanager
    def step(
        self,
        losses: Mapping[str, Tensor],
        *,
        features: Tensor | Sequence[Tensor] | None = None,
        shared: Iterable[Tensor] | None = None,
        last_layer: nn.Module | Tensor | Sequence[Tensor] | None = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> Iterator[ProbedStep]:
        """Record the step that is made inside this context.

        Args:
            losses: The unweighted loss of every task, before it is differentiated.
            features: As for `Balancer.backward`, like the other arguments.
            shared: The shared parameters.
            last_layer: The last layer that all tasks share; needed with `at="last_layer"`.
            scaler: The gradient scaler of fp16 training.

        Raises:
            ValueError: An argument is wrong, or one that the probe needs is missing.
        """
        probed = ProbedStep()
        if not self.due():
            yield probed
            return
        given = [features] if isinstance(features, Tensor) else list(features or ())
        step = Step.begin(losses, given, shared or (), last_layer=last_layer, retain_graph=True, scaler=scaler)
        values, gradients = step.values, step.gradients(self.at, "the probe")
        assert gradients is not None
        parameters = self.at is not Place.FEATURES
        gram = gradients.gram().to(values.device)
        distributed.mean_(values)
        if not parameters:
            distributed.sum_(gram)
        added = gradient_difference(gradients.like if parameters else ())
        yield probed
        weights = probed.balance.weights if probed.balance is not None else None
        stacked = torch.stack([weights[task] for task in losses]) if weights is not None else None
        update = added() if parameters else None
        # A skipped step leaves no gradient, so that there is no update.
        if update is None or update:
            self.write(measure(tuple(losses), values, gradients, gram, stacked, update))

    # The records

    def recorded(self) -> "polars.DataFrame":
        """Return the records as they are stored: a row a recorded step, see `equipoise.diagnosis.store.SCHEMA`."""
        import polars

        from equipoise.diagnosis.store import records_frame

        if self._pending or self._records is None:
            new = records_frame([_row(*pending) for pending in self._pending])
            self._records = new if self._records is None else polars.concat([self._records, new])
            self._pending.clear()
        return self._records

    def to_frame(self) -> "polars.DataFrame":
        """Return a row for each recorded step and task, see `equipoise.diagnosis.by_task`."""
        from equipoise.diagnosis.frames import by_task

        return by_task(self.recorded())

    def plot(self) -> "Figure":
        """Draw the norms, contributions, cosines with the update and shares of the update of all tasks.

        The functions of `equipoise.figures` draw more from `to_frame`.
        """
        from equipoise.figures import probe_overview

        return probe_overview(self.to_frame())

    def verdict(self, candidates: Mapping[str, Mapping[str, float]] | None = None) -> "Verdict":
        """Return which tasks are starved or dominate, since when, why, and which weights to try.

        Args:
            candidates: Static weights by task to compare besides uniform ones and AvgNorm's, by a name for them.
        """
        from equipoise.diagnosis.verdict import judge

        return judge(self.recorded(), candidates)

    def flush(self) -> None:
        """Write the records to the file at `path`. Without a path nothing is written."""
        if self.path is not None:
            from equipoise.diagnosis.store import write_records

            write_records(self.recorded(), self.path)

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed training needs, besides the file at `path`."""
        return {"steps": self.steps, "samples": dict(self._samples)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state from `state_dict`. Records of later steps are dropped: those steps will be made again.

        Raises:
            ValueError: The file at `path` is damaged. The probe then goes on without the records it held.
        """
        import polars

        from equipoise.diagnosis.store import read

        self.steps, self._samples = state["steps"], dict(state["samples"])
        self._pending.clear()
        self._records = None
        if self.path is not None and self.path.exists():
            self._records = read(self.path).filter(polars.col("step") <= self.steps)

    def _coherence(self, measurement: Measurement) -> Tensor:
        """Return the cosine of every task's gradient with its last recorded one, [T]; NaN if there is none."""
        cosines = []
        for task, entries in zip(measurement.tasks, measurement.sample, strict=True):
            now, before = entries.double(), self._samples.get(task, entries.new_zeros(())).double()
            # Zero norms give NaN: a gradient of zero has no direction.
            cosines.append((now * before).sum() / (now.norm() * before.norm()))
            self._samples[task] = entries.clone()
        return torch.stack(cosines)


def _row(step: int, measurement: Measurement, coherence: Tensor | None) -> dict[str, Any]:
    return {
        "step": step,
        "tasks": list(measurement.tasks),
        "losses": measurement.losses.double().tolist(),
        "weights": None if measurement.weights is None else measurement.weights.double().tolist(),
        "gram": measurement.gram.flatten().tolist(),
        "with_update": measurement.with_update.tolist(),
        "update_square": measurement.update_square.item(),
        "coherence": None if coherence is None else coherence.tolist(),
    }
