"""`equipoise report`."""

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli.terminal import errors, print_line


def report(
    study: Annotated[
        Path,
        typer.Argument(metavar="STUDY", help="A study's directory, such as studies/quickstart.", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write; report.html in the study's directory by default."),
    ] = None,
) -> None:
    """Write the page of a study: one HTML file with its tables, figures and predictions, and how to make it again.

    The file makes no network request, so it can be sent and kept. Call this command at any time: the page of an
    unfinished study shows what is there.
    """
    from equipoise import lab

    with errors.status("Reading the runs") as status:
        page = lab.report(study, output, progress=status.update)
    print_line(f"Page: {page}")
