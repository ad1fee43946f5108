"""`equipoise report`."""

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli.terminal import errors, say


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
    """Write the page of a study: one HTML file with its tables, figures, predictions, and how to make it again.

    The file asks nothing of any network, so it can be sent and kept. Call it at any time: the page of a study that is
    still running shows what is there.
    """
    from equipoise.report.html import write_page

    with errors.status("Reading the runs") as status:
        page = write_page(study, output, lambda doing: status.update(doing))
    say(f"Page: {page}")
