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
    console,
    errors,
    executor,
    print_line,
    print_table,
)


def search(
    recipe: Recipe,
    overrides: Overrides = None,
    *,
    strategy: Annotated[
        str,
        typer.Option(metavar="NAME", help="How weights are chosen. An unknown name prints all names."),
    ],
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar="TASK=NUMBERS",
            help="Weights to try, such as `depth=1,2,5`. Strategies that draw weights take the smallest and the "
            "largest as bounds. By default the first task has weight 1 and the others go from 1 to 100.",
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(help="Rounds over the tasks, of the strategy `coordinate`; 1 by default.")
    ] = None,
    fraction: Annotated[
        float | None,
        typer.Option(help="Part of the epochs to train, of the strategy `avgnorm`; all epochs by default."),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="URL of an Optuna database, of the strategies that draw weights; a file of the study by default."
        ),
    ] = None,
    strategy_options: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy-option",
            metavar="KEY=VALUE",
            help="Any other option of the strategy, such as one of your own.",
            show_default=False,
        ),
    ] = None,
    runs: Annotated[int | None, typer.Option(help="Maximum number of trials in all, including cached ones.")] = None,
    hours: Annotated[float | None, typer.Option(help="Hours of training after which no trial begins.")] = None,
    variant: Annotated[str | None, typer.Option(help="Which of the recipe's variants; the first by default.")] = None,
    output: Output = Path("studies"),
    jobs: Jobs = 1,
    executor_name: ExecutorName = "local",
    address: Address = None,
    executor_options: ExecutorOptions = None,
) -> None:
    """Search for the loss weights with the best delta_m on validation, and print them ready to paste.

    Trials are runs with the balancer `fixed` and the first seed of the recipe. They are kept as those of `bench` are:
    stop at any time, and call again to continue. The directory of the study (with variants, one below it) receives the
    trials (`search-STRATEGY.md`, `.csv` and `.json`), and a comparison of all strategies that were run on the same
    problem (`search.md` and `search.csv`).
    """
    from equipoise import config, lab
    from equipoise._core.errors import input_errors
    from equipoise.report.tables.search import with_weights
    from equipoise.studies.search import parse_ranges

    with input_errors():
        parsed = parse_ranges(ranges or ())
        further = config.options(strategy_options or ())
    given = {"ranges": parsed, "rounds": rounds, "fraction": fraction, "storage": storage}
    found = lab.search(
        recipe,
        strategy,
        overrides or (),
        runs=runs,
        hours=hours,
        variant=variant,
        executor=executor(executor_name, address, executor_options),
        output=output,
        jobs=jobs,
        progress=True,
        **{name: value for name, value in given.items() if value not in (None, {})},
        **further,
    )
    if found.record is not None:
        print_table(with_weights(found.table(), found.record))
        compared = found.strategies()
        if compared is not None and len(compared.rows) > 1:
            console.print()
            print_table(compared)
        print_line(f"Search: {found.directory}")
    if found.interrupted:
        errors.print("Stopped. Trials are kept; the same command continues from here.")
        raise typer.Exit(130)
    if found.weights is None:
        raise typer.Exit(1)
