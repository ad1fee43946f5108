"""The command `equipoise`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from equipoise.studies import PlannedRun

# Only what `--help` needs is imported here; PyTorch takes seconds to load.

app = typer.Typer(
    help="See why a multi-task network trains out of balance, and balance it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)
data_app = typer.Typer(help="Make, check and look at datasets.", no_args_is_help=True)
app.add_typer(data_app, name="data")
console = Console()
errors = Console(stderr=True)

Recipe = Annotated[Path, typer.Argument(help="A recipe, such as recipes/quickstart.yaml.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Changes to the recipe: `training.epochs=5 data.root=/path`.", show_default=False
    ),
]
Root = Annotated[Path, typer.Argument(help="Its directory.", exists=True, file_okay=False, show_default=False)]
Output = Annotated[Path, typer.Option("--output", "-o", help="Where runs and studies are kept.")]


@app.command()
def bench(
    recipe: Recipe,
    overrides: Overrides = None,
    output: Output = Path("studies"),
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, each in a process of its own.")] = 1,
) -> None:
    """Train single-task networks and every balancer of a recipe, and print the table that compares them.

    Finished runs are kept and never made twice: stop at any time, and call again to go on. The study's directory
    receives `table.md`, `table.csv`, `results.json` and the figure `relative_change.png`.
    """
    from equipoise import config, data, report, studies
    from equipoise.training.selection import main_metrics

    study = config.load(recipe, config.Recipe, overrides or ())
    planned = studies.plan(study)
    interrupted = not _execute(planned, output, jobs)
    records = studies.collect(planned, output)
    directions = main_metrics(data.tasks(study.data.name, study.tasks))
    table = report.comparison(records, directions)
    directory = output / study.name
    directory.mkdir(exist_ok=True)
    studies.write_results(records, directory / "results.json")
    report.write_markdown(table, directory / "table.md")
    report.write_csv(table, directory / "table.csv")
    report.write_figure(report.relative_change(records, directions), directory / "relative_change.png")
    console.print(report.on_console(table))
    for note in table.notes:
        _say(note)
    _say(f"Study: {directory} (table.md, table.csv, results.json, relative_change.png)")
    if interrupted:
        errors.print("Stopped. Finished runs are kept; the same command goes on from here.")
        raise typer.Exit(130)
    if any(record.status != "finished" for record in records):
        raise typer.Exit(1)


@app.command()
def train(
    recipe: Recipe,
    overrides: Overrides = None,
    balancer: Annotated[str | None, typer.Option(help="Which of the recipe's balancers; the first by default.")] = None,
    variant: Annotated[str | None, typer.Option(help="Which of the recipe's variants; the first by default.")] = None,
    output: Output = Path("studies"),
) -> None:
    """Train one multi-task network of a recipe, with one balancer and the first seed, and print its metrics.

    Its best checkpoint is chosen by delta_m where `bench` has trained the single-task networks of the recipe, else by
    the mean relative loss.
    """
    from dataclasses import replace

    from equipoise import config, naming, studies
    from equipoise.training import read_result

    study = config.load(recipe, config.Recipe, overrides or ())
    multi = [run for run in studies.plan(study) if run.needs]
    if study.variants:
        labels = {entry.label: entry.label for entry in study.variants}
        label = naming.choose("--variant", variant or study.variants[0].label, labels)
        multi = [run for run in multi if run.variant == label]
    elif variant is not None:
        raise ValueError(f"`--variant` needs a recipe with variants. Found `--variant {variant}`.")
    run = naming.choose("--balancer", balancer or multi[0].title, {run.title: run for run in reversed(multi)})
    if any(read_result(studies.run_directory(output, key)) is None for key in run.needs):
        # A run that is compared with nothing is another run than the one that `bench` will make.
        run = replace(run, needs=())
    interrupted = not _execute([run], output, jobs=1)
    record = studies.collect([run], output)[0]
    for key, value in record.metrics.items():
        console.print(f"{key:>24} {value:10.4f}", highlight=False)
    for task, weight in record.weights.items():
        console.print(f"{'weight ' + task:>24} {weight:10.4f}", highlight=False)
    _say(f"Run: {record.directory}")
    if interrupted:
        errors.print("Stopped. The same command goes on from the last checkpoint.")
        raise typer.Exit(130)
    if record.status != "finished":
        raise typer.Exit(1)


@app.command()
def methods(
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as JSON.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/methods.md.")] = False,
) -> None:
    """List the balancing methods: what each sees, what it costs, where it comes from, its hyper-parameters."""
    from equipoise import balancing
    from equipoise.report.methods import method_page, method_records, method_table

    records = method_records(balancing.all_methods())
    if as_json:
        _print_json(records)
    elif as_markdown:
        sys.stdout.write(method_page(records))
    else:
        console.print(method_table(records))


@data_app.command()
def make(
    name: Annotated[str, typer.Argument(help="The dataset to generate: `rooms`.")],
    out: Annotated[Path, typer.Argument(help="The directory to write.")],
    scenes: Annotated[int, typer.Option(min=1, help="Rooms; split by room into train, val and test.")] = 18,
    scans: Annotated[int, typer.Option(min=1, help="Camera poses a room.")] = 40,
    size: Annotated[int, typer.Option(min=16, help="Height and width in pixels.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same dataset.")] = 0,
) -> None:
    """Generate a dataset of indoor scenes with exact labels."""
    from equipoise import naming
    from equipoise.data.rooms import generate
    from equipoise.report.progress import counting

    # Other datasets are downloaded.
    maker = naming.choose("name", name, {"rooms": generate})
    with counting(errors, f"Generating {name}") as progress:
        maker(out, scenes=scenes, scans=scans, size=size, seed=seed, progress=progress)
    _say(f"{out}: {scenes} scenes, {scenes * scans} scans of {size}x{size} pixels")


@data_app.command()
def check(
    name: Annotated[str, typer.Argument(help="The dataset's name.")],
    root: Root,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Read every file of a dataset; exit with 0 if all is sound, 1 if something is wrong, 2 on wrong usage."""
    from equipoise import data
    from equipoise.report.progress import counting

    with counting(errors, f"Reading {name}") as progress:
        report = data.check(name, root, progress=progress)
    if as_json:
        _print_json(report.to_json())
    else:
        _say(str(report))
    raise typer.Exit(0 if report.ok else 1)


@data_app.command()
def show(
    name: Annotated[str, typer.Argument(help="The dataset's name.")],
    root: Root,
    output: Annotated[Path, typer.Option("--output", "-o", help="The picture to write.")] = Path("contact-sheet.png"),
    split: Annotated[str, typer.Option(help="Which split.")] = "train",
    samples: Annotated[int, typer.Option(min=1, help="How many samples.")] = 8,
) -> None:
    """Write a contact sheet: images with the labels of every task."""
    from equipoise import data

    dataset = data.create(name, root=root, split=split)
    data.contact_sheet(dataset, samples).save(output)
    _say(f"Wrote {output}")


def _execute(planned: "Sequence[PlannedRun]", output: Path, jobs: int) -> bool:
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
            studies.execute(planned, output, jobs=jobs, watch=progress)
        except KeyboardInterrupt:
            return False
    return True


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _print_json(content: Any) -> None:
    from equipoise.training.files import strict

    sys.stdout.write(json.dumps(strict(content), indent=1) + "\n")


def main() -> None:
    """Entry point: what the user got wrong ends in one message and exit code 2, never in a traceback."""
    try:
        app()
    except Exception as error:
        if not isinstance(error, ValueError | OSError) and type(error).__name__ != "DatasetError":
            raise
        errors.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
