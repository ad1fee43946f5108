"""The command `equipoise`."""

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from equipoise import config
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
Root = Annotated[
    Path | None,
    typer.Argument(
        help="Its directory; needed but for datasets that make themselves.",
        exists=True,
        file_okay=False,
        show_default=False,
    ),
]
DatasetOptions = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Options of the dataset: `classes=7`.", show_default=False),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Where runs and studies are kept.")]


@app.command()
def bench(
    recipe: Recipe,
    overrides: Overrides = None,
    output: Output = Path("studies"),
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, each in a process of its own.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Train nothing: list the runs, and estimate time, memory and disk.")
    ] = False,
) -> None:
    """Train single-task networks and every balancer of a recipe, and print the table that compares them.

    Finished runs are kept and never made twice: stop at any time, and call again to go on. The study's directory
    receives `table.md`, `table.csv`, `table.tex`, `results.json`, `results.parquet` and the figure
    `relative_change.png`; with several seeds also `certainty.md` and `certainty.csv`, which say how sure the order of
    the methods is. For a recipe of a paper's table, `published.md` and `published.csv` have its numbers beside these.
    """
    from equipoise import config, report, studies
    from equipoise.training.selection import main_metrics

    study = config.load(recipe, config.Recipe, overrides or ())
    planned = studies.plan(study, output)
    directions = main_metrics(study.data.tasks(study.tasks))
    for published in study.published_rows.values():
        # A mistake in a name should not wait for the end of the study.
        studies.read_published(published, directions)
    if dry_run:
        _foresee(study, planned, output, jobs)
        return
    interrupted = not _execute(planned, output, jobs, lambda: studies.plan(study, output))
    records = studies.collect(studies.plan(study, output), output)
    table = report.comparison(records, directions)
    directory = output / study.name
    directory.mkdir(exist_ok=True)
    studies.write_results(records, directory / "results.json")
    report.write_markdown(table, directory / "table.md")
    report.write_csv(table, directory / "table.csv")
    report.write_latex(table, directory / "table.tex")
    studies.write_parquet(records, directory / "results.parquet")
    report.write_figure(report.relative_change(records, directions), directory / "relative_change.png")
    console.print(report.on_console(table))
    for note in table.notes:
        _say(note)
    if published := study.published_rows:
        beside = report.beside_published(records, directions, published)
        report.write_markdown(beside, directory / "published.md")
        report.write_csv(beside, directory / "published.csv")
        console.print()
        console.print(report.on_console(beside))
        for note in beside.notes:
            _say(note)
    if (certainty := report.certainty(records, directions)) is not None:
        report.write_markdown(certainty, directory / "certainty.md")
        report.write_csv(certainty, directory / "certainty.csv")
        console.print()
        console.print(report.on_console(certainty, intervals=True))
        for note in certainty.notes:
            _say(note)
    _say(f"Study: {directory} ({', '.join(sorted(path.name for path in directory.iterdir()))})")
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
    multi = [run for run in studies.plan(study, output) if run.needs and not run.trial]
    if not multi:
        raise ValueError("Hyper-parameters of this recipe are to be chosen first: call `equipoise bench`.")
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
def search(
    recipe: Recipe,
    overrides: Overrides = None,
    *,
    strategy: Annotated[
        str, typer.Option(help="`grid`, `coordinate`, `random`, `tpe` or `avgnorm`.", show_default=False)
    ],
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar="TASK=NUMBERS",
            help="Weights to try, as `depth=1,2,5`; the least and the largest are the bounds of `random` and `tpe`. "
            "By default the first task is at 1 and the others go from 1 to 100.",
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="Of `coordinate`: rounds over the tasks; 1 by default.")] = None,
    fraction: Annotated[
        float | None, typer.Option(help="Of `avgnorm`: the part of the epochs to train with it; all by default.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="Of `random` and `tpe`: URL of an Optuna database; a file of the study by default."),
    ] = None,
    runs: Annotated[int | None, typer.Option(help="Trials that there may be in all, cached ones too.")] = None,
    hours: Annotated[float | None, typer.Option(help="Hours of training after which no trial begins.")] = None,
    variant: Annotated[str | None, typer.Option(help="Which of the recipe's variants; the first by default.")] = None,
    output: Output = Path("studies"),
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, each in a process of its own.")] = 1,
) -> None:
    """Search for the loss weights with the best delta_m on validation, and print them ready to paste.

    Trials are runs with the balancer `fixed` and the first seed of the recipe, kept as those of `bench` are: stop at
    any time, and call again to go on. The study's directory (with variants, one below it) receives
    `search-STRATEGY.md`, `.csv` and `.json`; and `search.md` and `search.csv`, where the strategies that were run on
    the same problem are compared: what each reached, and what it cost.
    """
    from equipoise import config, naming, report, studies
    from equipoise.report.search import strategies_table, trials_table, with_weights
    from equipoise.report.search_progress import SearchProgress
    from equipoise.studies.search import Budget, Search, parse_ranges, read_record, read_records

    study = config.load(recipe, config.Recipe, overrides or ())
    directory = output / study.name
    if study.variants:
        known = {entry.label: entry for entry in study.variants}
        chosen = naming.choose("--variant", variant or study.variants[0].label, known)
        study, directory = study.variant(chosen), directory / re.sub(r"[^\w.-]+", "_", chosen.label)
    elif variant is not None:
        raise ValueError(f"`--variant` needs a recipe with variants. Found `--variant {variant}`.")
    given = {"ranges": parse_ranges(ranges or ()), "rounds": rounds, "fraction": fraction, "storage": storage}
    options = {name: value for name, value in given.items() if value not in (None, {})}
    budget = Budget(runs, hours)
    whole = Search(study, strategy, output, directory, options=options, budget=budget)
    interrupted = not _execute(whole.singles, output, jobs)
    if not interrupted:
        with SearchProgress(console, whole.expected, budget, jobs) as progress:
            try:
                whole.conduct(
                    lambda planned, watch: studies.execute(planned, output, jobs=jobs, watch=watch),
                    jobs,
                    noted=progress.noted,
                    watch=progress.watch,
                )
            except KeyboardInterrupt:
                interrupted = True
    record = read_record(directory, strategy)
    if record is not None:
        table = trials_table(record)
        report.write_markdown(with_weights(table, record), directory / f"search-{strategy}.md")
        report.write_csv(table, directory / f"search-{strategy}.csv")
        console.print(report.on_console(table))
        for note in with_weights(table, record).notes:
            _say(note)
        if compared := read_records(directory, record.problem):
            table = strategies_table(compared)
            report.write_markdown(table, directory / "search.md")
            report.write_csv(table, directory / "search.csv")
            if len(compared) > 1:
                console.print()
                console.print(report.on_console(table))
                for note in table.notes:
                    _say(note)
        _say(f"Search: {directory}")
    if interrupted:
        errors.print("Stopped. Trials are kept; the same command goes on from here.")
        raise typer.Exit(130)
    if record is None or record.best is None:
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


@app.command(name="models")
def list_models(
    architectures: Annotated[list[str] | None, typer.Argument(help="Only these.", show_default="all")] = None,
    tasks: Annotated[str, typer.Option(help="The dataset whose tasks the networks get.")] = "nyud",
    size: Annotated[str, typer.Option(help="Height and width of the images.")] = "448x576",
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as JSON.")] = False,
) -> None:
    """List architectures on backbones, with one task and with all of a dataset: parameters, multiply-accumulates."""
    from equipoise import data, models, naming
    from equipoise.report.models import model_records, model_table
    from equipoise.report.progress import counting

    examples = models.examples()
    if architectures:
        known = {example["architecture"]: None for example in examples}
        for architecture in architectures:
            naming.choose("architectures", architecture, known)
        examples = [example for example in examples if example["architecture"] in architectures]
    sides = tuple(int(side) for side in size.split("x") if side.isdecimal())
    if len(sides) != 2 or min(sides) < 1 or size != "x".join(map(str, sides)):
        raise ValueError(f"`--size` should be height and width in pixels, such as 448x576. Found `--size {size}`.")
    outputs = {name: task.output for name, task in data.tasks(tasks).items()}
    with counting(errors, "Counting") as progress:
        records = model_records(examples, outputs, sides, progress)
    if as_json:
        _print_json(records)
    else:
        console.print(model_table(records, sides))


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
    root: Root = None,
    options: DatasetOptions = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Read every file of a dataset; exit with 0 if all is sound, 1 if something is wrong, 2 on wrong usage."""
    from equipoise import config, data
    from equipoise.report.progress import counting

    chosen = config.dataset(name, root, options or ())
    with counting(errors, f"Reading {name}") as progress:
        report = data.check(name, chosen.root, progress=progress, **chosen.options)
    if as_json:
        _print_json(report.to_json())
    else:
        _say(str(report))
    raise typer.Exit(0 if report.ok else 1)


@data_app.command()
def show(
    name: Annotated[str, typer.Argument(help="The dataset's name.")],
    root: Root = None,
    options: DatasetOptions = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The picture to write.")] = Path("contact-sheet.png"),
    split: Annotated[str, typer.Option(help="Which split.")] = "train",
    samples: Annotated[int, typer.Option(min=1, help="How many samples.")] = 8,
    corrupt: Annotated[
        bool, typer.Option("--corrupt", help="Draw beside the labels what `data.corrupt` makes of them in training.")
    ] = False,
) -> None:
    """Write a contact sheet: images with the labels of every task."""
    from equipoise import config, data

    chosen = config.dataset(name, root, options or ())
    if corrupt:
        # Not every kind of task has a rule of corruption.
        tasks = [task.name for task in chosen.tasks().values() if task.noise is not None]
        right = data.create(name, root=chosen.root, split=split, tasks=tasks, **chosen.options)
        noise = chosen.corrupt or data.Corruption()
        wrong = data.create(name, root=chosen.root, split=split, tasks=tasks, corrupt=noise, **chosen.options)
        sheet = data.corruption_sheet(right, wrong, samples)
    else:
        sheet = data.contact_sheet(data.create(name, root=chosen.root, split=split, **chosen.options), samples)
    sheet.save(output)
    _say(f"Wrote {output}")


def _foresee(study: "config.Recipe", planned: "Sequence[PlannedRun]", output: Path, jobs: int) -> None:
    """Print the runs of a study and what they will take, from some steps of each kind of run."""
    from equipoise import data
    from equipoise.data import DatasetError
    from equipoise.report.outlook import outlook, run_table
    from equipoise.report.progress import counting
    from equipoise.studies import unfinished_runs
    from equipoise.studies.estimate import estimate
    from equipoise.studies.outlook import runs_in_all

    costs, why = {}, ""
    try:
        left = unfinished_runs(planned, output)
        for config in {run.variant: run.config for run in left}.values():
            with counting(errors, f"Generating {config.data.name}") as progress:
                data.dataset_class(config.data.name).prepare(config.data.root, config.data.options, progress)
        with counting(errors, "Measuring kinds of runs") as progress:
            costs = estimate(left, jobs, progress)
    except (DatasetError, ValueError) as error:
        why = f"Time, memory and disk cannot be estimated: {error}"
    console.print(run_table(planned, output, costs))
    for line in (*outlook(planned, output, costs, runs_in_all(study), jobs), *([why] if why else ())):
        _say(line)


def _execute(
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
