"""Verdicts as plain sentences and one table, for the terminal and for the page."""

from collections.abc import Sequence
from dataclasses import dataclass

from equipoise.diagnosis import TaskStatistics, Verdict
from equipoise.diagnosis.verdict.words import sureness


@dataclass(frozen=True)
class FindingText:
    """A finding in words.

    Attributes:
        text: A sentence or two.
        certainty: How certain it is, such as "97 %".
    """

    text: str
    certainty: str


@dataclass(frozen=True)
class TaskRow:
    """A task in the table of a verdict.

    Attributes:
        task: Its name.
        norm: The norm of its gradient over that of the median task, such as "0.03x".
        cosine: The mean cosine with the other tasks.
        share: Its share of the update, such as "0.14 %".
        bar: The share from 0 to 1, for drawing.
        others: Its shares under other weights, in the order of `VerdictText.weightings`.
        state: What is found about it, or "fine".
        fine: Whether nothing is found about it.
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
        status: The status, as in `Verdict`.
        summary: One line.
        findings: The findings, the most important first.
        weightings: The names of other weights for which the table lists the tasks' shares.
        tasks: The rows of the table; empty if there is no verdict.
        advice: What to try; `None` if weights are no remedy.
        recipe_line: A line to paste under `balancers:` of a recipe; `None` if weights are no remedy.
        remarks: Caveats, and notes on the records.
        analysed: The steps that the verdict rests on; `None` if there is no verdict.
    """

    status: str
    summary: str
    findings: tuple[FindingText, ...]
    weightings: tuple[str, ...]
    tasks: tuple[TaskRow, ...]
    advice: str | None
    recipe_line: str | None
    remarks: tuple[str, ...]
    analysed: str | None


LEGEND = (
    "share: of the update of the shared network. The next columns are the shares of these gradients under other "
    "weights. norm: of the unweighted gradient, over the median task's. cosine: mean with the other tasks."
)
"""Explains the table of a verdict."""


def verdict_text(verdict: Verdict) -> VerdictText:
    """Return a verdict in words."""
    weightings = tuple(dict.fromkeys(name for task in verdict.tasks for name in task.shares))
    advice = None
    if verdict.weights is not None:
        advice = "Static weights to try under `balancers:` of a recipe, or AvgNorm, which finds them while it trains:"
    analysed = None
    if verdict.analysed:
        analysed = f"Analysed: {verdict.analysed} recorded steps from {verdict.first_step} to {verdict.last_step}."
    if verdict.certainty is not None:
        analysed = f"{analysed} {sureness(verdict.certainty)} sure."
    return VerdictText(
        status=verdict.status,
        summary=verdict.summary,
        findings=tuple(FindingText(finding.text, sureness(finding.certainty)) for finding in verdict.findings),
        weightings=weightings,
        tasks=tuple(_row(task, weightings) for task in verdict.tasks),
        advice=advice,
        recipe_line=verdict.recipe_line,
        remarks=(*verdict.unconfirmed, *verdict.notes),
        analysed=analysed,
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
