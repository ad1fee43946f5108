"""The output of `equipoise bench --dry-run`: the runs of a study and their cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from equipoise._core.text import duration
from equipoise.config import SINGLE
from equipoise.studies import PlannedRun, unfinished_runs
from equipoise.studies.plan.estimate import RunCost
from equipoise.studies.results.groups import group


def run_table(planned: Sequence[PlannedRun], root: Path, costs: Mapping[str, RunCost] | None = None) -> Table:
    """Return the runs as a table for a terminal. All seeds of a network share a row.

    Args:
        planned: The runs that are known.
        root: The directory that all studies share, to find which runs are finished.
        costs: The cost of each run by its key, as far as it is known.
    """
    unfinished = {run.key for run in unfinished_runs(planned, root)}
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("variant", "method", "tasks", "seeds"):
        table.add_column(name, overflow="fold")
    for name in ("runs", "finished", *(("time of one", "memory") if costs else ())):
        table.add_column(name, justify="right", no_wrap=True)
    for runs in _networks(planned):
        first, keys = runs[0], {run.key for run in runs}
        seeds = sorted({run.config.seed for run in runs})
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


def cost_summary(
    planned: Sequence[PlannedRun], root: Path, costs: Mapping[str, RunCost], in_all: int, jobs: int
) -> list[str]:
    """Return sentences on the cost of all runs that are left.

    Args:
        planned: The runs that are known.
        root: The directory that all studies share.
        costs: The cost of each run by its key; empty if nothing was measured.
        in_all: Number of runs of the finished study.
        jobs: Number of runs at a time.
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
    """Return a number of bytes in the unit that reads best, MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _networks(planned: Sequence[PlannedRun]) -> list[list[PlannedRun]]:
    """Group the runs of one network, which differ in their seeds."""
    found = group(
        planned, lambda run: (run.variant, run.title, run.config.tasks if run.title == SINGLE else (), run.trial)
    )
    return list(found.values())
