"""`equipoise bench`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equipoise.cli.terminal import (
    Address,
    ExecutorName,
    ExecutorOptions,
    Jobs,
    Output,
    Overrides,
    Recipe,
    check_runs,
    console,
    errors,
    executor_of,
    make_runs,
    prepare_data,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from equipoise import config
    from equipoise.studies import RunRow


def bench(
    recipe: Recipe,
    overrides: Overrides = None,
    output: Output = Path("studies"),
    jobs: Jobs = 1,
    executor: ExecutorName = "local",
    address: Address = None,
    executor_options: ExecutorOptions = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Train nothing: list the runs, and estimate time, memory and disk.")
    ] = False,
) -> None:
    """Train single-task networks and every balancer of a recipe, and print the table that compares them.

    Finished runs are kept and never made twice: stop at any time, and call again to go on. The study's directory
    receives the recipe as `study.yaml`, by which `equipoise report` finds the runs, `table.md`, `table.csv`,
    `table.tex`, `results.json`, `results.parquet`, the figure `relative_change.png` and, in `figures`, every other
    figure that the runs allow, drawn anew whenever a run was made or a figure is missing, with `index.json`, which has
    their captions; with several seeds also `certainty.md` and `certainty.csv`, which say how sure the order of the
    methods is. For a recipe of a paper's table, `published.md` and `published.csv` have its numbers beside these.
    """
    from equipoise import config, report, studies
    from equipoise.training.selection import main_metrics

    study = config.load(recipe, config.Recipe, overrides or ())
    makes_runs = executor_of(executor, address, executor_options)
    directions = main_metrics(study.data.tasks(study.tasks))
    for published in study.published_rows.values():
        # A mistake in a name should not wait for the end of the study.
        studies.read_published(published, directions)
    if dry_run:
        foresee(study, output, jobs)
        return
    prepare_data(study)
    planned = studies.plan(study, output)
    check_runs(planned, output)
    directory = output / study.name
    studies.save_recipe(study, directory)
    unfinished = studies.unfinished_runs(planned, output)
    interrupted = not make_runs(planned, output, jobs, lambda: studies.plan(study, output), makes_runs)
    records = studies.collect(studies.plan(study, output), output)
    table = report.comparison(records, directions)
    studies.write_results(records, directory / "results.json")
    report.write_markdown(table, directory / "table.md")
    report.write_csv(table, directory / "table.csv")
    report.write_latex(table, directory / "table.tex")
    studies.write_parquet(records, directory / "results.parquet")
    report.write_figure(report.relative_change(records, directions), directory / "relative_change.png")
    console.print(report.on_console(table))
    for note in table.notes:
        say(note)
    if published := study.published_rows:
        beside = report.beside_published(records, directions, published)
        report.write_markdown(beside, directory / "published.md")
        report.write_csv(beside, directory / "published.csv")
        console.print()
        console.print(report.on_console(beside))
        for note in beside.notes:
            say(note)
    if (certainty := report.certainty(records, directions)) is not None:
        report.write_markdown(certainty, directory / "certainty.md")
        report.write_csv(certainty, directory / "certainty.csv")
        console.print()
        console.print(report.on_console(certainty, intervals=True))
        for note in certainty.notes:
            say(note)
    if not interrupted:
        draw(records, output, directory / "figures", anew=bool(unfinished))
    say(f"Study: {directory} ({', '.join(sorted(path.name for path in directory.iterdir()))})")
    if interrupted:
        errors.print("Stopped. Finished runs are kept; the same command goes on from here.")
        raise typer.Exit(130)
    if not records or any(record.status != "finished" for record in records):
        raise typer.Exit(1)


def draw(records: "Sequence[RunRow]", output: Path, directory: Path, *, anew: bool) -> None:
    """Write every figure that the runs of a study allow, and say where they are and how long it took.

    Args:
        records: The runs.
        output: The directory that all studies share.
        directory: For the figures.
        anew: Whether to draw also where all are there.
    """
    from equipoise.report.figures import gallery, is_complete, write_folder
    from equipoise.report.predictions import predicted

    if not anew and is_complete(records, directory):
        return
    started = time.monotonic()
    count = write_folder(gallery(records, output, predicted(records, output, images=2)), records, directory)
    say(f"Figures: {count} in {directory}, drawn in {time.monotonic() - started:.0f} s.")


def foresee(study: "config.Recipe", output: Path, jobs: int) -> None:
    """Print the runs of a study and what they will take, from some steps of each kind of run."""
    from equipoise import studies
    from equipoise.data import DatasetError
    from equipoise.report.console.dry_run import outlook, run_table
    from equipoise.report.console.progress import counting
    from equipoise.studies.plan.estimate import estimate

    planned, costs, why = studies.plan(study, output), {}, ""
    try:
        prepare_data(study)
        planned = studies.plan(study, output)
        with counting(errors, "Measuring kinds of runs") as progress:
            costs = estimate(studies.unfinished_runs(planned, output), jobs, progress)
    except (DatasetError, ValueError) as error:
        why = f"Time, memory and disk cannot be estimated: {error}"
    console.print(run_table(planned, output, costs))
    for line in (*outlook(planned, output, costs, studies.count_runs(study), jobs), *([why] if why else ())):
        say(line)
