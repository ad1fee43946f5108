"""Verdicts as people read them: plain sentences and one table, for the terminal and for the page."""

from collections.abc import Sequence
from dataclasses import dataclass

from equipoise.diagnosis import TaskStatistics, Verdict
from equipoise.diagnosis.verdict.words import sureness


@dataclass(frozen=True)
class Said:
    """A sentence or two, and how sure they are, such as "97 %"."""

    text: str
    sure: str


@dataclass(frozen=True)
class TaskRow:
    """A task in the table of a verdict.

    Attributes:
        task: Its name.
        norm: Of its gradient over the median task, such as "0.03x".
        cosine: Mean with the other tasks.
        share: Of the update, such as "0.14 %".
        bar: The same from 0 to 1, for drawing.
        others: Shares under other weights, in the order of `VerdictText.weightings`.
        state: What is found about it, or "fine".
        fine: Whether nothing is.
    """

    task: str
    norm: str
    cosine: str
    share: str
    bar: float
    others: tuple[str, ...]
    state: str
    fine: bool


@dataclass(frozen=True)
class VerdictText:
    """A verdict in words.

    Attributes:
        status: As in `Verdict`.
        summary: One line.
        findings: The most important first.
        weightings: Names of the weights that tasks' shares are told under, besides those of the run.
        tasks: The table; empty without a verdict.
        advice: What to try; none where weights are no remedy.
        recipe_line: To be pasted under `balancers:` of a recipe; none likewise.
        remarks: Doubts, and what is to be known about the records.
        judged: On which steps it rests; none without a verdict.
    """

    status: str
    summary: str
    findings: tuple[Said, ...]
    weightings: tuple[str, ...]
    tasks: tuple[TaskRow, ...]
    advice: str | None
    recipe_line: str | None
    remarks: tuple[str, ...]
    judged: str | None


LEGEND = (
    "share: of the update of the shared network; the next columns are what these gradients would give under other "
    "weights. norm: of the unweighted gradient over the median task's. cosine: mean with the other tasks."
)
"""Explains the table."""


def tell(verdict: Verdict) -> VerdictText:
    """A verdict in words."""
    weightings = tuple(dict.fromkeys(name for task in verdict.tasks for name in task.shares))
    advice = None
    if verdict.weights is not None:
        advice = "Static weights to try under `balancers:` of a recipe, or AvgNorm, which finds them while it trains:"
    judged = None
    if verdict.analysed:
        judged = f"Judged: {verdict.analysed} recorded steps from {verdict.first_step} to {verdict.last_step}."
    if verdict.certainty is not None:
        judged = f"{judged} {sureness(verdict.certainty)} sure."
    return VerdictText(
        status=verdict.status,
        summary=verdict.summary,
        findings=tuple(Said(finding.text, sureness(finding.certainty)) for finding in verdict.findings),
        weightings=weightings,
        tasks=tuple(_row(task, weightings) for task in verdict.tasks),
        advice=advice,
        recipe_line=verdict.recipe_line,
        remarks=(*verdict.unconfirmed, *verdict.notes),
        judged=judged,
    )


def _row(task: TaskStatistics, weightings: Sequence[str]) -> TaskRow:
    return TaskRow(
        task=task.task,
        norm="–" if task.norm is None else f"{task.norm:.2g}x",
        cosine="–" if task.cosine is None else f"{task.cosine:.2f}",
        share=_share(task.share),
        bar=min(max(task.share or 0.0, 0.0), 1.0),
        others=tuple(_share(task.shares[name]) for name in weightings),
        state=", ".join(task.states) or "fine",
        fine=not task.states,
    )


def _share(share: float | None) -> str:
    if share is None:
        return "–"
    return f"{share:.0%}" if abs(share) >= 0.1 else f"{100 * share:.2g}%"
