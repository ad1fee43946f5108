"""Verdicts on a terminal."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from equipoise.diagnosis import Verdict
from equipoise.report.verdict_text import LEGEND, TaskRow, VerdictText, verdict_text
from equipoise.studies.results.diagnose import StudyVerdict
from equipoise.studies.results.groups import method_of

_STYLES = {"unbalanced": "bold red", "balanced": "bold green"}
_BAR = 6
"""Characters of a whole bar."""


def verdict_on_console(verdict: Verdict) -> RenderableType:
    """Return a verdict for a terminal: the findings, a table of tasks, and what to try."""
    text = verdict_text(verdict)
    parts: list[RenderableType] = [Text(text.summary, style=_STYLES.get(text.status, "bold yellow"))]
    if text.tasks:
        parts += [Text(), _task_table(text), Text(f"\n{LEGEND}", style="dim")]
    for finding in text.findings:
        parts += [Text(), Text(f"{finding.text} ({finding.certainty} sure)")]
    if text.advice is not None and text.recipe_line is not None:
        parts += [Text(), Text(text.advice), Text(text.recipe_line, style="cyan")]
    if text.remarks:
        parts.append(Text())
        parts += [Text(remark, style="yellow") for remark in text.remarks]
    if text.analysed is not None:
        parts += [Text(), Text(text.analysed, style="dim")]
    return Group(*parts)


def study_on_console(study: StudyVerdict) -> RenderableType:
    """Return the verdicts of a study for a terminal: a row a method, then the findings of each."""
    table = _empty_table()
    for title in ("method", "runs", "verdict", "share of the update", "against single-task"):
        table.add_column(title, overflow="fold")
    for method in study.methods:
        found = [f"{cause} ({count})" for cause, count in (method.causes or method.statuses).items()]
        shares = [f"{task} {share:.1%}" for task, share in method.shares.items()]
        changes = [f"{task} {change:+.1f} %" for task, change in method.changes.items()]
        cells = (method_of(method).title, str(method.runs), "\n".join(found), "\n".join(shares), "\n".join(changes))
        table.add_row(*map(Text, cells), end_section=True)
    parts: list[RenderableType] = [table]
    for method in study.methods:
        parts += [Text(), Text(f"{method_of(method).title}: {method.text}")]
        run = study.representative(method)
        if run.verdict is None:
            parts.append(Text(run.missing or "", style="yellow"))
            continue
        text = verdict_text(run.verdict)
        parts += [Text(f"  {finding.text} ({finding.certainty} sure)") for finding in text.findings]
        if text.recipe_line is not None:
            parts.append(Text(f"  To try: {text.recipe_line}", style="cyan"))
        parts.append(Text(f"  seed {run.seed}: equipoise diagnose {run.directory}", style="dim"))
    return Group(*parts)


def _task_table(text: VerdictText) -> Table:
    table = _empty_table()
    for title in ("task", "share"):
        table.add_column(title, no_wrap=True)
    for title in (*text.weightings, "norm", "cosine"):
        table.add_column(Text(title), justify="right", no_wrap=True)
    for row in text.tasks:
        name = Text(row.task) if row.fine else Text(f"{row.task}: {row.state}", style="red")
        table.add_row(name, _bar(row), *row.others, row.norm, row.cosine)
    return table


def _bar(row: TaskRow) -> Text:
    filled = round(_BAR * row.bar)
    return Text("━" * filled, style="blue") + Text("─" * (_BAR - filled), style="dim") + Text(f" {row.share}")


def _empty_table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
