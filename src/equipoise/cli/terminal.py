"""The consoles that commands print to, and the options that several commands share."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from equipoise.report import Table
    from equipoise.studies.run.executors import Executor

console = Console()
"""Standard output, for results."""
errors = Console(stderr=True)
"""Standard error, for progress and errors."""

Recipe = Annotated[Path, typer.Argument(help="A recipe, such as recipes/quickstart.yaml.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Changes to the recipe: `training.epochs=5 data.root=/path`.", show_default=False
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="The directory of all studies and runs.")]
Jobs = Annotated[int, typer.Option("--jobs", min=1, help="Number of runs at a time.")]
ExecutorName = Annotated[
    str, typer.Option("--executor", metavar="NAME", help="Where runs are made. An unknown name prints all names.")
]
Address = Annotated[
    str | None,
    typer.Option(help="Address of the Ray cluster; by default one is started here.", show_default=False),
]
ExecutorOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="KEY=VALUE", help="An option of the executor, such as `cpus=4`.", show_default=False
    ),
]


def print_line(line: str) -> None:
    """Print a line as it is, however long."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_table(table: "Table", intervals: bool = False) -> None:
    """Print a table of numbers and its notes.

    Args:
        table: The table.
        intervals: Whether intervals follow the means.
    """
    from equipoise.report import terminal_table

    console.print(terminal_table(table, intervals=intervals))
    for note in table.notes:
        print_line(note)


def print_json(content: Any) -> None:
    """Print JSON for other programs; numbers that are not finite become null."""
    from equipoise._core.files import json_safe

    sys.stdout.write(json.dumps(json_safe(content), indent=1) + "\n")


def executor(name: str, address: str | None, options: Sequence[str] | None) -> "Executor":
    """Return the executor that options of the command line ask for.

    Raises:
        ValueError: There is no such executor, it has no such option, or a package is missing.
    """
    from equipoise import config, lab
    from equipoise._core.errors import input_errors

    shorthand = {} if address is None else {"address": address}
    with input_errors():
        return lab.create_executor(name, **(config.options(options or ()) | shorthand))
