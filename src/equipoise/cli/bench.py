"""`equipoise bench` and `equipoise train`."""

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli.terminal import (
    Address,
    ExecutorName,
    ExecutorOptions,
    Jobs,
    Output,
    Overrides,
    Recipe,
    console,
    errors,
    options_of_executor,
    print_line,
    print_table,
)


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

    Finished runs are never made again: stop at any time, and call again to continue. The directory of the study
    receives the recipe (`study.yaml`, by which `equipoise report` finds the runs), the tables (`table.md`, `table.csv`,
    `table.tex`), the results (`results.json`, `results.parquet`) and the figures (`relative_change.png` and the folder
    `figures`, with captions in `index.json`). Several seeds add `certainty.md` and `certainty.csv`: how certain the
    order of the methods is. The recipe of a paper's table adds `published.md` and `published.csv`: its numbers beside
    these.
    """
    from equipoise import lab

    if dry_run:
        _dry_run(recipe, overrides, output, jobs)
        return
    study = lab.bench(
        recipe,
        overrides or (),
        executor=executor,
        executor_options=options_of_executor(address, executor_options),
        output=output,
        jobs=jobs,
        progress=True,
        figures=False,
    )
    print_table(study.table())
    for table, intervals in ((study.published(), False), (study.certainty(), True)):
        if table is not None:
            console.print()
            print_table(table, intervals)
    if not study.interrupted and (drawn := study.write_figures()) is not None:
        count, seconds = drawn
        print_line(f"Figures: {count} in {study.directory / 'figures'}, drawn in {seconds:.0f} s.")
    print_line(f"Study: {study.directory} ({', '.join(sorted(path.name for path in study.directory.iterdir()))})")
    for run in study.runs:
        if run.status == "failed":
            print_line(f"Traceback of a failed run: {run.directory / 'failure.json'}")
    if study.interrupted:
        errors.print("Stopped. Finished runs are kept; the same command continues from here.")
        raise typer.Exit(130)
    if not study.finished:
        raise typer.Exit(1)


def _dry_run(recipe: Path, overrides: list[str] | None, output: Path, jobs: int) -> None:
    """Print the runs of a study and their cost."""
    from equipoise import lab
    from equipoise.report.console.dry_run import cost_summary, run_table

    found = lab.dry_run(recipe, overrides or (), output=output, jobs=jobs, progress=True)
    console.print(run_table(found.planned, found.root, found.costs))
    for line in cost_summary(found.planned, found.root, found.costs, found.in_all, jobs):
        print_line(line)
    if found.problem is not None:
        print_line(f"Time, memory and disk cannot be estimated: {found.problem}")


def train(
    recipe: Recipe,
    overrides: Overrides = None,
    balancer: Annotated[str | None, typer.Option(help="Which of the recipe's balancers; the first by default.")] = None,
    variant: Annotated[str | None, typer.Option(help="Which of the recipe's variants; the first by default.")] = None,
    output: Output = Path("studies"),
) -> None:
    """Train one multi-task network of a recipe, with one balancer and the first seed, and print its metrics.

    Its best checkpoint is chosen by delta_m if `bench` has trained the single-task networks of the recipe, otherwise by
    the mean relative loss.
    """
    from equipoise import lab

    run = lab.train(recipe, overrides or (), balancer=balancer, variant=variant, output=output, progress=True)
    for key, value in run.metrics.items():
        console.print(f"{key:>24} {value:10.4f}", highlight=False)
    for task, weight in run.weights.items():
        console.print(f"{'weight ' + task:>24} {weight:10.4f}", highlight=False)
    print_line(f"Run: {run.directory}")
    if run.status == "missing":
        errors.print("Stopped. The same command continues from the last checkpoint.")
        raise typer.Exit(130)
    if run.status != "finished":
        raise typer.Exit(1)
