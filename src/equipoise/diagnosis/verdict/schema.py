"""The verdict as data. `Verdict.model_json_schema()` returns the schema of its JSON."""

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
        kind: `starved` and `dominating` are about one task, `conflict` and `duplicates` about tasks in relation to each
            other, and `noise` about a task whose gradient is long and leads nowhere.
        tasks: The tasks concerned.
        cause: The cause: without it the finding would not hold. One of the method's weights, the method itself if it
            gives no weights, a noisy task, copies of a task, unequal norms, and conflicting gradients.
        since: The step since which it has been so; none if it comes and goes.
        certainty: The probability that it is so, from the variation between blocks of steps.
        numbers: Its numbers by name. `share` and `fair` are parts of the update, `without_cause` is the share that the
            task would have without the cause, `weight` is that of the method (mean over steps), `others_weight` the
            median of those of the other tasks, and `shorter` how many times the longest contribution is longer.
        text: The finding in words.
    """

    kind: Kind
    tasks: tuple[str, ...]
    cause: Cause
    since: int | None
    certainty: float
    numbers: dict[str, float]
    text: str = ""


class TaskStatistics(_Frozen):
    """The numbers of one task over the analysed steps. None stands for a number that cannot be computed.

    Attributes:
        task: The name of the task.
        states: The kinds of its findings; empty if there are none.
        present: The fraction of the steps in which it had a gradient.
        norm: The norm of its unweighted gradient over the median of all tasks (geometric mean over steps).
        weight: The weight of its loss, mean.
        contribution: As `norm`, of the weighted gradient.
        share: Its share of the update, see `equipoise.diagnosis.verdict.measures.Shares`.
        share_low: The lower end of the share's 95 % interval.
        share_high: The upper end.
        fair: The share if all tasks were equal.
        shares: The share under other weights, by their name: `uniform`, `avgnorm`, `suggested`, and those of fixed runs
            of the study.
        avgnorm_weight: The weight that AvgNorm would have given it, mean over all recorded steps.
        cosine: The cosine with the gradients of the other tasks, mean.
        coherence: The cosine with its own gradient in the recorded step before, mean.
        first_loss: Its loss, mean over the first tenth of the recorded steps.
        last_loss: Its loss, mean over the analysed steps.
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
    """The balance of a network's tasks, from the records of a probe.

    Attributes:
        status: `unbalanced`; `balanced`; `undecided` if the numbers vary too much to be sure of either, or if a task
            has too few gradients; `too few steps`; or `single task`.
        cause: The main cause, if there are findings.
        certainty: The probability that the most important finding is true, or that there is none. None if there is no
            finding and the share of a task cannot be measured.
        summary: The verdict in one line.
        findings: The findings, those of the main cause first.
        unconfirmed: Findings that are more likely true than not, but not sure, in words.
        notes: Remarks about the records.
        tasks: The numbers of every task.
        weights: Static weights to try. They make the analysed gradients equally long on average; the smallest is 1.
            None if weights would not help.
        survives: The norm of the update over the sum of the contributions' norms, mean: 1 if all contributions agree,
            0 if they cancel out.
        survives_orthogonal: The same if all contributions were orthogonal.
        recorded: The number of usable recorded steps.
        analysed: The number of analysed steps among them.
        first_step: The first analysed step.
        last_step: The last analysed step.
    """

    status: Status
    cause: Cause | None = None
    certainty: float | None = None
    summary: str
    findings: tuple[Finding, ...] = ()
    unconfirmed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    tasks: tuple[TaskStatistics, ...] = ()
    weights: dict[str, float] | None = None
    survives: float | None = None
    survives_orthogonal: float | None = None
    recorded: int
    analysed: int = 0
    first_step: int | None = None
    last_step: int | None = None
    version: int = Field(default=1, description="Of this schema.")

    @property
    def starved(self) -> tuple[str, ...]:
        """The tasks that are starved."""
        return self._tasks_of("starved")

    @property
    def dominating(self) -> tuple[str, ...]:
        """The tasks that dominate the update."""
        return self._tasks_of("dominating")

    @property
    def text(self) -> str:
        """The whole verdict in words."""
        return "\n".join([self.summary, *(f.text for f in self.findings), *self.unconfirmed, *self.notes])

    @property
    def recipe_line(self) -> str | None:
        """The suggested static weights as a line for `balancers:` in a recipe."""
        if self.weights is None:
            return None
        weights = ", ".join(f"{task}: {weight:g}" for task, weight in self.weights.items())
        return f"- {{name: fixed, label: balanced, weights: {{{weights}}}}}"

    def to_frame(self) -> polars.DataFrame:
        """Return a row for each weighting and task, for figures.

        The columns are `weighting` (`this run`, `uniform`, `avgnorm`, ...), `task`, `share` and `fair`.
        """
        schema = {"weighting": polars.String, "task": polars.String, "share": polars.Float64, "fair": polars.Float64}
        names = dict.fromkeys(name for task in self.tasks for name in task.shares)
        rows = [("this run", task.task, task.share, task.fair) for task in self.tasks]
        rows += [(name, task.task, task.shares[name], task.fair) for name in names for task in self.tasks]
        return polars.DataFrame(rows, schema=schema, orient="row")

    def _tasks_of(self, kind: Kind) -> tuple[str, ...]:
        return tuple(task for finding in self.findings if finding.kind == kind for task in finding.tasks)
