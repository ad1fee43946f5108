"""The verdict as data; `Verdict.model_json_schema()` is the schema of its JSON."""

from typing import Literal

import polars
from pydantic import BaseModel, ConfigDict, Field

Status = Literal["unbalanced", "balanced", "undecided", "too few steps", "single task"]
Kind = Literal["starved", "dominating", "conflict", "duplicates", "noise"]
Cause = Literal["weights", "method", "norms", "conflict", "norms and conflict", "duplicates", "noise"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Finding(_Frozen):
    """Something that is out of balance.

    Attributes:
        kind: `starved` and `dominating` are about a task, `conflict` and `duplicates` about tasks to each other, and
            `noise` about a task whose gradient is large and leads nowhere.
        tasks: Which.
        cause: What ends it when it is taken away: the method's weights, or the method itself where it gives none, a
            noisy task, copies of a task, unequal norms, gradients against each other.
        since: The step from which it has been so to the end; none where it comes and goes.
        certainty: How probable it is, from how much blocks of steps differ.
        numbers: The evidence, by name. `share` and `fair` are parts of the update, `without_cause` is the share that
            the task would have without the cause, `weight` is that of the method (mean over steps), `others_weight` the
            median of those of the other tasks, and `shorter` how many times the longest contribution is longer.
        text: In words.
    """

    kind: Kind
    tasks: tuple[str, ...]
    cause: Cause
    since: int | None
    certainty: float
    numbers: dict[str, float]
    text: str = ""


class TaskEvidence(_Frozen):
    """One task over the judged steps. None where there is no such number.

    Attributes:
        task: Its name.
        states: What is found about it; empty if nothing is.
        present: The part of the steps in which it had a gradient.
        norm: Of its unweighted gradient, over the median of the tasks (geometric mean over steps).
        weight: What the run multiplied its loss by, mean.
        contribution: As `norm`, of the weighted gradient.
        share: Of the update, see `equipoise.diagnosis.verdict.measures`.
        share_low: The lower end of its 95 % interval.
        share_high: The upper end.
        fair: What the share would be if all were equal.
        shares: What it would own under other weights, by their name: `uniform`, `avgnorm`, those that are suggested,
            those of fixed runs of the study.
        avgnorm_weight: The weight that AvgNorm would have given it, mean over all recorded steps.
        cosine: With the gradients of the other tasks, mean.
        coherence: Cosine with its own gradient one record earlier, mean.
        first_loss: Mean over the first tenth of the records.
        last_loss: Mean over the judged steps.
    """

    task: str
    states: tuple[Kind, ...] = ()
    present: float
    norm: float | None
    weight: float | None
    contribution: float | None
    share: float | None
    share_low: float | None
    share_high: float | None
    fair: float
    shares: dict[str, float | None]
    avgnorm_weight: float | None
    cosine: float | None
    coherence: float | None
    first_loss: float | None
    last_loss: float | None


class Verdict(_Frozen):
    """What a probe's records say about the balance of tasks.

    Attributes:
        status: `unbalanced`, `balanced`, `undecided` where the numbers vary too much to be sure of either or a task
            has hardly a gradient, `too few steps`, or `single task`.
        cause: The main one, if there are findings.
        certainty: How probable it is that the gravest finding is true, or that nothing is to be found. None where
            nothing is found and the share of a task cannot be told.
        summary: In words, one line.
        findings: Those of the main cause first.
        doubts: What is more likely so than not, and not sure.
        notes: What is to be known about the records.
        tasks: The numbers of every task.
        weights: Static weights to try, which make the judged gradients equally long on average; the smallest is 1.
            None where weights would not help.
        survives: |u| over the sum of the contributions' norms, mean: 1 where all agree, `survives_orthogonal` where
            tasks have nothing to do with each other, 0 where they cancel out.
        survives_orthogonal: See there.
        recorded: Usable recorded steps.
        judged: How many of them are judged.
        first_step: The first of those.
        last_step: The last.
    """

    status: Status
    cause: Cause | None = None
    certainty: float | None = None
    summary: str
    findings: tuple[Finding, ...] = ()
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    tasks: tuple[TaskEvidence, ...] = ()
    weights: dict[str, float] | None = None
    survives: float | None = None
    survives_orthogonal: float | None = None
    recorded: int
    judged: int = 0
    first_step: int | None = None
    last_step: int | None = None
    version: int = Field(default=1, description="Of this schema.")

    @property
    def starved(self) -> tuple[str, ...]:
        """The tasks that are starved."""
        return self._tasks_of("starved")

    @property
    def dominating(self) -> tuple[str, ...]:
        """The tasks that own most of the update."""
        return self._tasks_of("dominating")

    @property
    def text(self) -> str:
        """All of it in words."""
        return "\n".join([self.summary, *(f.text for f in self.findings), *self.doubts, *self.notes])

    @property
    def recipe_line(self) -> str | None:
        """The static weights to try, to be pasted under `balancers:` of a recipe."""
        if self.weights is None:
            return None
        weights = ", ".join(f"{task}: {weight:g}" for task, weight in self.weights.items())
        return f"- {{name: fixed, label: balanced, weights: {{{weights}}}}}"

    def to_frame(self) -> polars.DataFrame:
        """For figures: a row for each weighting and task, with `weighting` (`this run`, `uniform`, `avgnorm`, ...),
        `task`, `share` and `fair`."""
        schema = {"weighting": polars.String, "task": polars.String, "share": polars.Float64, "fair": polars.Float64}
        names = dict.fromkeys(name for task in self.tasks for name in task.shares)
        rows = [("this run", task.task, task.share, task.fair) for task in self.tasks]
        rows += [(name, task.task, task.shares[name], task.fair) for name in names for task in self.tasks]
        return polars.DataFrame(rows, schema=schema, orient="row")

    def _tasks_of(self, kind: Kind) -> tuple[str, ...]:
        return tuple(task for finding in self.findings if finding.kind == kind for task in finding.tasks)
