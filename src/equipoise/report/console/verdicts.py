"""Verdicts on a terminal."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from equipoise.diagnosis import Verdict
from equipoise.report.verdict_text import LEGEND, TaskRow, VerdictText, tell
from equipoise.studies.results.diagnose import MethodVerdict, StudyVerdict

_STYLES = {"unbalanced": "bold red", "balanced": "bold green"}
_BAR = 6


def verdict_on_console(verdict: Verdict) -> RenderableType:
    """A verdict for a terminal: what is found, a line a task, and what to try."""
    told = tell(verdict)
    parts: list[RenderableType] = [Text(told.summary, style=_STYLES.get(told.status, "bold yellow"))]
    if told.tasks:
        parts += [Text(), _tasks(told), Text(f"\n{LEGEND}", style="dim")]
    for said in told.findings:
        parts += [Text(), Text(f"{said.text} ({said.sure} sure)")]
    if told.advice is not None and told.recipe_line is not None:
        parts += [Text(), Text(told.advice), Text(told.recipe_line, style="cyan")]
    if told.remarks:
        parts.append(Text())
        parts += [Text(remark, style="yellow") for remark in told.remarks]
    if told.judged is not None:
        parts += [Text(), Text(told.judged, style="dim")]
    return Group(*parts)


def study_on_console(study: StudyVerdict) -> RenderableType:
    """The verdicts of a study for a terminal: a row a method, what it means, and where to read on."""
    table = _table()
    for title in ("method", "runs", "verdict", "share of the update", "against single-task"):
        table.add_column(title, overflow="fold")
    for method in study.methods:
        told = [f"{what} ({count})" for what, count in (method.causes or method.statuses).items()]
        shares = [f"{task} {share:.1%}" for task, share in method.shares.items()]
        changes = [f"{task} {change:+.1f} %" for task, change in method.changes.items()]
        cells = (_name(method), str(method.runs), "\n".join(told), "\n".join(shares), "\n".join(changes))
        table.add_row(*map(Text, cells), end_section=True)
    parts: list[RenderableType] = [table]
    for method in study.methods:
        parts += [Text(), Text(f"{_name(method)}: {method.text}")]
        run = study.representative(method)
        if run.verdict is None:
            parts.append(Text(run.missing or "", style="yellow"))
            continue
        told = tell(run.verdict)
        parts += [Text(f"  {said.text} ({said.sure} sure)") for said in told.findings]
        if told.recipe_line is not None:
            parts.append(Text(f"  To try: {told.recipe_line}", style="cyan"))
        parts.append(Text(f"  seed {run.seed}: equipoise diagnose {run.directory}", style="dim"))
    return Group(*parts)


def _name(method: MethodVerdict) -> str:
    return method.balancer if method.variant is None else f"{method.variant}, {method.balancer}"


def _tasks(told: VerdictText) -> Table:
    table = _table()
    for title in ("task", "share"):
        table.add_column(title, no_wrap=True)
    for title in (*told.weightings, "norm", "cosine"):
        table.add_column(Text(title), justify="right", no_wrap=True)
    for row in told.tasks:
        name = Text(row.task) if row.fine else Text(f"{row.task}: {row.state}", style="red")
        table.add_row(name, _bar(row), *row.others, row.norm, row.cosine)
    return table


def _bar(row: TaskRow) -> Text:
    filled = round(_BAR * row.bar)
    return Text("━" * filled, style="blue") + Text("─" * (_BAR - filled), style="dim") + Text(f" {row.share}")


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
