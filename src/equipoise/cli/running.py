"""Making the runs of a plan, with what people see of it."""

from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.cli.terminal import console, errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from equipoise.studies import PlannedRun
    from equipoise.studies.executor import Executor


def executor_of(name: str, address: str | None, options: "Sequence[str] | None") -> "Executor":
    """The executor that options of the command line ask for.

    Raises:
        ValueError: There is no such executor, it has no such option, or a package is missing.
    """
    from equipoise import config
    from equipoise.studies import executors

    shorthand = {} if address is None else {"address": address}
    return executors.create(name, **(config.options(options or ()) | shorthand))


def check_runs(planned: "Sequence[PlannedRun]", output: Path) -> None:
    """Find out what is wrong with the runs that are not finished before the first of them begins; make missing data.

    Raises:
        ValueError: A run asks for what cannot be had.
        DatasetError: The data are not there.
    """
    from equipoise import data, studies
    from equipoise.report.progress import counting
    from equipoise.training import prepare

    output.mkdir(parents=True, exist_ok=True)
    # The last run of a variant has all tasks.
    for config in {run.variant: run.config for run in studies.unfinished_runs(planned, output)}.values():
        with counting(errors, f"Generating {config.data.name}") as progress:
            data.dataset_class(config.data.name).prepare(config.data.root, config.data.options, progress)
        prepare(config)


def make_runs(
    planned: "Sequence[PlannedRun]",
    output: Path,
    jobs: int,
    more: "Callable[[], Sequence[PlannedRun]]" = tuple,
    executor: "Executor | None" = None,
) -> bool:
    """Make the runs that are not finished; return whether nobody interrupted it."""
    from equipoise import studies
    from equipoise.report.progress import StudyProgress

    with StudyProgress(console, planned, output, jobs) as progress:
        try:
            studies.execute(planned, output, jobs=jobs, watch=progress, more=more, executor=executor)
        except KeyboardInterrupt:
            return False
    return True
