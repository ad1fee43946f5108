"""Making the runs of a plan, with what people see of it."""

from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.cli.terminal import console, errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from equipoise.studies import PlannedRun


def make_runs(
    planned: "Sequence[PlannedRun]",
    output: Path,
    jobs: int,
    more: "Callable[[], Sequence[PlannedRun]]" = tuple,
) -> bool:
    """Make the runs that are not finished; return whether nobody interrupted it."""
    from equipoise import data, studies
    from equipoise.report.progress import StudyProgress, counting
    from equipoise.training import prepare

    output.mkdir(parents=True, exist_ok=True)
    # The last run of a variant has all tasks. Building it finds out what is wrong before the first run of the study.
    for config in {run.variant: run.config for run in studies.unfinished_runs(planned, output)}.values():
        with counting(errors, f"Generating {config.data.name}") as progress:
            data.dataset_class(config.data.name).prepare(config.data.root, config.data.options, progress)
        prepare(config)
    with StudyProgress(console, planned, output, jobs) as progress:
        try:
            studies.execute(planned, output, jobs=jobs, watch=progress, more=more)
        except KeyboardInterrupt:
            return False
    return True
