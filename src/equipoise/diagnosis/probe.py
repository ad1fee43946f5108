"""A probe: looks at the task gradients of some training steps, and remembers what it saw."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars
import torch
from torch import Tensor, nn

from equipoise.balancing import Balance
from equipoise.balancing.engine import distributed
from equipoise.balancing.engine.observation import Measurement, gradient_difference, measure
from equipoise.balancing.engine.step import Step
from equipoise.balancing.info import Place
from equipoise.diagnosis.frames import by_task, read, records_frame, write_records
from equipoise.diagnosis.verdict import Verdict, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PLACES = {"last_layer": Place.LAST_LAYER, "features": Place.FEATURES, "shared": Place.SHARED}


@dataclass
class ProbedStep:
    """A step under observation.

    Attributes:
        balance: To be set to what the balancer returned, for the weights; without it every task counts with weight 1.
    """

    balance: Balance | None = None


class Probe:
    """Records the gradients of tasks while a network trains, whatever balances them.

    Through a balancer it costs little more than T weight gradients of one layer, on the steps that it records:

        probe = Probe(every=10)
        balance = balancer.backward(losses, features=features, last_layer=layer, probe=probe)

    Around any other loop, such as one that sums its losses, it differentiates the heads once more on those steps:

        with probe.step(losses, features=features, last_layer=layer):
            sum(losses.values()).backward()

    Nothing is read from the device before `flush`, or before the numbers are asked for.

    Args:
        every: Steps from one recorded step to the next; the first is recorded.
        at: Where to look: "last_layer" (what paper one looks at), "features", or "shared" (all shared parameters, at
            the cost of a backward pass of the trunk for each task).
        path: The Parquet file that `flush` writes; none keeps everything in memory.

    Raises:
        ValueError: `every` is below 1, or there is no such place.

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
        if every < 1:
            raise ValueError(f"`every` should be at least 1. Found `every = {every}`.")
        if at not in _PLACES:
            raise ValueError(f"`at` should be one of {', '.join(_PLACES)}. Found `at = {at!r}`.")
        self.every = every
        self.at = _PLACES[at]
        self.path = None if path is None else Path(path)
        self.steps = 0
        """How many steps have gone by."""
        self.sampled: dict[str, Tensor] = {}
        """Of every task, entries of the gradient that was recorded last."""
        self._waiting: list[tuple[int, Measurement, Tensor | None]] = []
        self._recorded = records_frame([])

    # What a balancer calls

    def due(self) -> bool:
        """Count a step, and say whether it is to be recorded."""
        self.steps += 1
        return (self.steps - 1) % self.every == 0

    def write(self, measurement: Measurement) -> None:
        """Keep the measurement of a step."""
        # Gradients at the features are of one batch: they cannot be compared with those of another.
        coherence = None if self.at is Place.FEATURES else self._compare(measurement)
        self._waiting.append((self.steps, replace(measurement, sample=measurement.sample[:0]), coherence))

    # What a training loop calls

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
        """Look at the step that is made inside.

        Args:
            losses: The unweighted loss of every task, before it is differentiated.
            features: As for `Balancer.backward`, like the other arguments.
            shared: The shared parameters.
            last_layer: The last layer that all tasks share, if that is where to look.
            scaler: The gradient scaler of fp16 training.

        Raises:
            ValueError: An argument is wrong, or misses what the probe looks at.
        """
        probed = ProbedStep()
        if not self.due():
            yield probed
            return
        given = [features] if isinstance(features, Tensor) else list(features or ())
        opened = Step.begin(losses, given, shared or (), last_layer=last_layer, retain_graph=True, scaler=scaler)
        values = opened.values
        rows = opened.gradients(self.at, "the probe")
        assert rows is not None
        parameters = self.at is not Place.FEATURES
        gram = rows.gram().to(values.device)
        distributed.mean_(values)
        if not parameters:
            distributed.sum_(gram)
        added = gradient_difference(rows.like if parameters else ())
        yield probed
        weights = probed.balance.weights if probed.balance is not None else None
        stacked = torch.stack([weights[task] for task in losses]) if weights is not None else None
        update = added() if parameters else None
        # Without a gradient, as of a skipped step, there is no update.
        if update is None or update:
            self.write(measure(tuple(losses), values, rows, gram, stacked, update))

    # What is done with it

    def recorded(self) -> polars.DataFrame:
        """Everything as it is stored: a row a recorded step, see `equipoise.diagnosis.frames.SCHEMA`."""
        if self._waiting:
            rows = [_plain(*waiting) for waiting in self._waiting]
            self._recorded = polars.concat([self._recorded, records_frame(rows)])
            self._waiting.clear()
        return self._recorded

    def to_frame(self) -> polars.DataFrame:
        """A row for each recorded step and task, see `equipoise.diagnosis.by_task`."""
        return by_task(self.recorded())

    def plot(self) -> "Figure":
        """Draw what was recorded: norms, contributions, cosines with the update, the share that each task owns of it.

        More can be drawn from `to_frame` by the functions of `equipoise.figures`.
        """
        # matplotlib takes a while to load, and training does not need it.
        from equipoise.figures import probe_overview

        return probe_overview(self.to_frame())

    def verdict(self, candidates: Mapping[str, Mapping[str, float]] | None = None) -> Verdict:
        """Which tasks are starved, which dominate, since when, why, and which weights to try.

        Args:
            candidates: Static weights to look at besides uniform ones and AvgNorm's, by a name for them.
        """
        return judge(self.recorded(), candidates)

    def flush(self) -> None:
        """Write everything to the file, in one move; nothing without a file."""
        if self.path is not None:
            write_records(self.recorded(), self.path)

    def resume(self, steps: int, sampled: Mapping[str, Tensor] | None = None) -> None:
        """Go on after a number of steps: what the file holds of later ones, which will be made again, is dropped.

        Args:
            steps: How many steps the training has behind it.
            sampled: What `sampled` was then; without it the first step to come is compared with none.
        """
        self.steps, self.sampled = steps, dict(sampled or {})
        self._waiting.clear()
        if self.path is not None and self.path.exists():
            self._recorded = read(self.path).filter(polars.col("step") <= steps)

    def _compare(self, measurement: Measurement) -> Tensor:
        """The cosine of every task's gradient with its last one, [T]; NaN where there is none. Sees to the next."""
        found = []
        for task, entries in zip(measurement.tasks, measurement.sample, strict=True):
            now, before = entries.double(), self.sampled.get(task, entries.new_zeros(())).double()
            # Zero norms give NaN, as a gradient of zero has no direction.
            found.append((now * before).sum() / (now.norm() * before.norm()))
            self.sampled[task] = entries.clone()
        return torch.stack(found)


def _plain(number: int, measurement: Measurement, coherence: Tensor | None) -> dict[str, Any]:
    return {
        "step": number,
        "tasks": list(measurement.tasks),
        "losses": measurement.losses.double().tolist(),
        "weights": None if measurement.weights is None else measurement.weights.double().tolist(),
        "gram": measurement.gram.flatten().tolist(),
        "with_update": measurement.with_update.tolist(),
        "update_square": measurement.update_square.item(),
        "coherence": None if coherence is None else coherence.tolist(),
    }
