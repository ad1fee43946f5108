"""The command `equipoise`, a file for each of its commands."""

import sys

import typer

from equipoise.cli import data
from equipoise.cli.bench import bench
from equipoise.cli.catalogue import methods, models
from equipoise.cli.diagnose import diagnose
from equipoise.cli.report import report
from equipoise.cli.search import search
from equipoise.cli.terminal import errors
from equipoise.cli.train import train

# Only what `--help` needs is imported by these files outside of functions; PyTorch takes seconds to load.

app = typer.Typer(
    help="See why a multi-task network trains out of balance, and balance it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (bench, train, search, diagnose, report, methods, models):
    app.command()(command)
app.add_typer(data.app, name="data")


def main() -> None:
    """Entry point: what the user got wrong ends in one message and exit code 2, never in a traceback."""
    try:
        app()
    except Exception as error:
        users = ("DatasetError", "UserModuleError")
        if not isinstance(error, ValueError | OSError) and type(error).__name__ not in users:
            raise
        errors.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
