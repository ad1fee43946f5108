"""`equipoise search`."""

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
    check_runs,
    console,
    errors,
    executor_of,
    make_runs,
    prepare_data,
    say,
)


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
    jobs: Jobs = 1,
    executor: ExecutorName = "local",
    address: Address = None,
    executor_options: ExecutorOptions = None,
) -> None:
    """Search for the loss weights with the best delta_m on validation, and print them ready to paste.

    Trials are runs with the balancer `fixed` and the first seed of the recipe, kept as those of `bench` are: stop at
    any time, and call again to go on. The study's directory (with variants, one below it) receives
    `search-STRATEGY.md`, `.csv` and `.json`; and `search.md` and `search.csv`, where the strategies that were run on
    the same problem are compared: what each reached, and what it cost.
    """
    from equipoise import config, report, studies
    from equipoise._core import text
    from equipoise.report.console.progress import SearchProgress
    from equipoise.report.tables.search import strategies_table, trials_table, with_weights
    from equipoise.studies.search import Budget, Search, parse_ranges, read_search, read_searches

    study = config.load(recipe, config.Recipe, overrides or ())
    makes_runs = executor_of(executor, address, executor_options)
    directory = output / study.name
    if study.variants:
        known = {entry.label: entry for entry in study.variants}
        chosen = text.choose("--variant", variant or study.variants[0].label, known)
        study, directory = study.variant(chosen), directory / text.file_name(chosen.label)
    elif variant is not None:
        raise ValueError(f"`--variant` needs a recipe with variants. Found `--variant {variant}`.")
    given = {"ranges": parse_ranges(ranges or ()), "rounds": rounds, "fraction": fraction, "storage": storage}
    options = {name: value for name, value in given.items() if value not in (None, {})}
    budget = Budget(runs, hours)
    prepare_data(study)
    whole = Search(study, strategy, output, directory, options=options, budget=budget)
    whole.check()
    check_runs(whole.singles, output)
    interrupted = not make_runs(whole.singles, output, jobs, executor=makes_runs)
    if not interrupted:
        with SearchProgress(console, whole.expected, budget, jobs) as progress:
            try:
                whole.run(
                    lambda planned, watch: studies.execute(
                        planned, output, jobs=jobs, watch=watch, executor=makes_runs
                    ),
                    jobs,
                    on_change=progress.on_change,
                    watch=progress.watch,
                )
            except KeyboardInterrupt:
                interrupted = True
    record = read_search(directory, strategy)
    if record is not None:
        table = trials_table(record)
        report.write_markdown(with_weights(table, record), directory / f"search-{text.file_name(strategy)}.md")
        report.write_csv(table, directory / f"search-{text.file_name(strategy)}.csv")
        console.print(report.on_console(table))
        for note in with_weights(table, record).notes:
            say(note)
        if compared := read_searches(directory).get(record.problem, []):
            table = strategies_table(compared)
            report.write_markdown(table, directory / "search.md")
            report.write_csv(table, directory / "search.csv")
            if len(compared) > 1:
                console.print()
                console.print(report.on_console(table))
                for note in table.notes:
                    say(note)
        say(f"Search: {directory}")
    if interrupted:
        errors.print("Stopped. Trials are kept; the same command goes on from here.")
        raise typer.Exit(130)
    if record is None or record.best is None:
        raise typer.Exit(1)
