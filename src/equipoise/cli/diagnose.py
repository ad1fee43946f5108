"""`equipoise diagnose` and `equipoise report`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from equipoise._core.errors import InputError
from equipoise.cli.terminal import console, errors, print_json, print_line


def diagnose(
    path: Annotated[
        Path,
        typer.Argument(
            help="The directory of a run or a study, or a probe's Parquet file.",
            metavar="RUN_OR_STUDY",
            show_default=False,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw the shares of the tasks into this file, such as verdict.png.", show_default=False),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weight",
            metavar="TASK=NUMBER",
            help="A static weight to compare with, for one task; other tasks have weight 1.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print which tasks are starved or dominate, since when, why, how sure that is, and which weights to try.

    The verdict comes from the gradients that runs record while they train (`training.probe`). Unfinished runs and
    studies have one, too.
    """
    from equipoise import lab
    from equipoise.diagnosis import Verdict
    from equipoise.report.console.verdicts import study_on_console, verdict_on_console

    found = lab.diagnose(path, weights=parse_weights(weights or ()), figure=figure)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    console.print(verdict_on_console(found) if isinstance(found, Verdict) else study_on_console(found))
    if figure is not None:
        print_line(f"Figure: {figure}")


def parse_weights(given: Sequence[str]) -> dict[str, float]:
    """Return weights by task from the command line.

    Args:
        given: Texts of the form `TASK=NUMBER`.

    Raises:
        ValueError: One has another form.

    Example:
        >>> parse_weights(["depth=2", "edge=50"])
        {'depth': 2.0, 'edge': 50.0}
    """
    found = {}
    for text in given:
        task, _, number = text.partition("=")
        try:
            found[task] = float(number)
        except ValueError:
            raise InputError(f"`--weight` should be TASK=NUMBER, such as edge=50. Found `--weight {text}`.") from None
    return found


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
