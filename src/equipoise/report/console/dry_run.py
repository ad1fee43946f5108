"""What `equipoise bench --dry-run` prints: the runs of a study and what they will take."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from equipoise._core.text import duration
from equipoise.config import SINGLE
from equipoise.studies import PlannedRun, unfinished_runs
from equipoise.studies.plan.estimate import RunCost


def run_table(planned: Sequence[PlannedRun], root: Path, costs: Mapping[str, RunCost] | None = None) -> Table:
    """The runs as a table for a terminal, a row for the seeds of one network.

    Args:
        planned: The runs that are known.
        root: The directory that all studies share, to tell which are finished.
        costs: What each run takes by its key, where that is known.
    """
    unfinished = {run.key for run in unfinished_runs(planned, root)}
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("variant", "method", "tasks", "seeds"):
        table.add_column(name, overflow="fold")
    for name in ("runs", "finished", *(("time of one", "memory") if costs else ())):
        table.add_column(name, justify="right", no_wrap=True)
    for group in _groups(planned):
        first, keys = group[0], {run.key for run in group}
        seeds = sorted({run.config.seed for run in group})
        cells = [
            first.variant or "",
            first.title + (" (trials)" if first.trial else ""),
            " ".join(first.config.tasks) if first.title == SINGLE else f"all {len(first.config.tasks)}",
            " ".join(map(str, seeds)),
            str(len(keys)),
            str(len(keys - unfinished)),
        ]
        if costs:
            cost = costs.get(first.key)
            cells += [duration(cost.seconds(first.config)), amount(cost.memory)] if cost else ["", ""]
        table.add_row(*cells)
    return table


def outlook(
    planned: Sequence[PlannedRun], root: Path, costs: Mapping[str, RunCost], in_all: int, jobs: int
) -> list[str]:
    """What the runs that are left will take in all, in sentences.

    Args:
        planned: The runs that are known.
        root: The directory that all studies share.
        costs: What each run takes by its key; empty if nothing was measured.
        in_all: How many runs there will have been in the end.
        jobs: How many are made at a time.
    """
    left = unfinished_runs(planned, root)
    known = len({run.key for run in planned})
    lines = [f"{known} runs are known, {known - len(left)} of them finished."]
    later = max(0, in_all - len(planned))
    if later:
        lines.append(
            f"{later} more follow when grids have been tried, or the weights of `fixed_from` are known; variants may "
            "share some."
        )
    timed = [(run, costs[run.key]) for run in left if run.key in costs]
    if not timed:
        return lines
    seconds = [cost.seconds(run.config) for run, cost in timed]
    total = max(sum(seconds) / jobs, *seconds, 0.0)
    memory = sum(sorted((cost.memory for _, cost in timed), reverse=True)[:jobs])
    disk = sum(cost.kept for _, cost in timed) + max(cost.passing for _, cost in timed) * min(jobs, len(timed))
    lines.append(
        f"The runs that are known and left take about {duration(total)} on this machine with {jobs} at a time, "
        f"{amount(memory)} of memory at the peak and {amount(disk)} of disk."
    )
    if later:
        whole = total * (len(left) + later) / len(left)
        lines.append(f"With those that follow, if they are like these, about {duration(whole)}.")
    return lines


def amount(size: int) -> str:
    """Bytes, in the unit that reads best."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _groups(planned: Sequence[PlannedRun]) -> list[list[PlannedRun]]:
    groups: dict[tuple[object, ...], list[PlannedRun]] = {}
    for run in planned:
        tasks = run.config.tasks if run.title == SINGLE else ()
        groups.setdefault((run.variant, run.title, tasks, run.trial), []).append(run)
    return list(groups.values())
