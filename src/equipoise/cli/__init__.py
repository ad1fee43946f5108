"""The command `equipoise`, with one file for each of its commands. They parse and print; `equipoise.lab` does the work.

Errors are of two kinds. An `InputError` (a wrong recipe or option, missing data), a `UserModuleError` (a module of the
user's own that cannot be imported) and an `OSError` (a directory that cannot be written, a full disk) are the user's to
mend: they end in one message and exit code 2. Any other exception is
a bug of ours, or of a module that a recipe imports: it shows its traceback, asks for a report, and ends in exit code 1.
`equipoise._core.errors.input_errors` says how the kinds are told apart. `--debug` or `EQUIPOISE_DEBUG=1` shows the
traceback of every error.
"""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from equipoise._core.errors import InputError
from equipoise._core.imports import UserModuleError
from equipoise._core.version import __version__
from equipoise.cli import data
from equipoise.cli.bench import bench, train
from equipoise.cli.diagnose import diagnose, report
from equipoise.cli.listings import methods, models
from equipoise.cli.search import search
from equipoise.cli.terminal import errors

# These files import at their top only what `--help` needs; PyTorch takes seconds to load.

_DEBUG = "--debug"

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (bench, train, search, diagnose, report, methods, models):
    app.command()(command)
app.add_typer(data.app, name="data")


@app.callback()
def equipoise_command(
    debug: Annotated[
        bool, typer.Option(_DEBUG, help="Show the traceback of every error, as does EQUIPOISE_DEBUG=1.")
    ] = False,
) -> None:
    """See why a multi-task network trains out of balance, and balance it."""
    # `main` reads the option, so that it may stand anywhere.


def main() -> None:
    """Run the command, and end it with a message and an exit code if it fails."""
    arguments = sys.argv[1:]
    debug = _DEBUG in arguments or os.environ.get("EQUIPOISE_DEBUG", "") not in ("", "0")
    try:
        app([argument for argument in arguments if argument != _DEBUG])
    except Exception as error:
        expected = is_input_error(error)
        if debug or not expected:
            traceback.print_exc()
        if expected:
            _print_error(f"error: {error}")
            sys.exit(2)
        _print_error(
            f"This is a bug in Equipoise {__version__}, or in a module of your own that the recipe imports. "
            "If it is not in your own module, please report it with the lines above and the recipe."
        )
        sys.exit(1)


def is_input_error(error: Exception) -> bool:
    """Return whether an error is the user's to mend, and no bug of ours."""
    if isinstance(error, OSError):
        # A file of the package itself is there, unless we have forgotten it.
        package = Path(__file__).parents[1]
        return not (isinstance(error.filename, str) and package in Path(error.filename).absolute().parents)
    return isinstance(error, InputError | UserModuleError)


def _print_error(message: str) -> None:
    errors.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
