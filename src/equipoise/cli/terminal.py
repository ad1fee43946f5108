"""What commands print to: results on standard output, progress and errors on standard error."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from equipoise import config
    from equipoise.studies import PlannedRun
    from equipoise.studies.run.executors import Executor

console = Console()
errors = Console(stderr=True)


def say(line: str) -> None:
    """Print a line as it is, however long."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_json(content: Any) -> None:
    """Print JSON for other programs; numbers that are not finite as null."""
    from equipoise._core.files import json_safe

    sys.stdout.write(json.dumps(json_safe(content), indent=1) + "\n")


Recipe = Annotated[Path, typer.Argument(help="A recipe, such as recipes/quickstart.yaml.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Changes to the recipe: `training.epochs=5 data.root=/path`.", show_default=False
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Where runs and studies are kept.")]
Jobs = Annotated[int, typer.Option("--jobs", min=1, help="Runs at a time.")]
ExecutorName = Annotated[
    str,
    typer.Option("--executor", metavar="NAME", help="Makes the runs: `local` (in processes here), `ray` or `slurm`."),
]
Address = Annotated[
    str | None, typer.Option(help="Of the cluster of `ray`; by default one is started here.", show_default=False)
]
ExecutorOptions = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="Of the executor, such as `cpus=4`.", show_default=False),
]


def executor_of(name: str, address: str | None, options: "Sequence[str] | None") -> "Executor":
    """The executor that options of the command line ask for.

    Raises:
        ValueError: There is no such executor, it has no such option, or a package is missing.
    """
    from equipoise import config
    from equipoise.studies.run import executors

    shorthand = {} if address is None else {"address": address}
    return executors.create(name, **(config.options(options or ()) | shorthand))


def prepare_data(recipe: "config.Recipe") -> None:
    """Generate the data of a study that are generated on first use: a run is known by its data.

    Raises:
        DatasetError: The data are not there.
    """
    from equipoise import studies
    from equipoise.report.console.progress import counting

    with counting(errors, f"Generating {recipe.data.name}") as progress:
        studies.prepare_data(recipe, progress)


def check_runs(planned: "Sequence[PlannedRun]", output: Path) -> None:
    """Find out what is wrong with the runs that are not finished before the first of them begins.

    Raises:
        ValueError: A run asks for what cannot be had.
        DatasetError: The data are not there.
    """
    from equipoise import studies
    from equipoise.training import prepare

    output.mkdir(parents=True, exist_ok=True)
    # The last run of a variant has all tasks.
    for run in {run.variant: run for run in studies.unfinished_runs(planned, output)}.values():
        prepare(run.config)


def make_runs(
    planned: "Sequence[PlannedRun]",
    output: Path,
    jobs: int,
    more: "Callable[[], Sequence[PlannedRun]]" = tuple,
    executor: "Executor | None" = None,
) -> bool:
    """Make the runs that are not finished; return whether nobody interrupted it."""
    from equipoise import studies
    from equipoise.report.console.progress import StudyProgress

    with StudyProgress(console, planned, output, jobs) as progress:
        try:
            studies.execute(planned, output, jobs=jobs, watch=progress, more=more, executor=executor)
        except KeyboardInterrupt:
            return False
    return True
