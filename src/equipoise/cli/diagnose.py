"""`equipoise diagnose`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from equipoise._core.text import unknown
from equipoise.cli.terminal import console, print_json, say


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
        Path | None, typer.Option(help="Draw the verdict into this file, such as verdict.png.", show_default=False)
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weight",
            metavar="TASK=NUMBER",
            help="Static weights to look at besides, a task each; others count with 1.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Say which tasks are starved or dominate, since when, why, how sure that is, and which weights to try.

    From the gradients that runs record while they train (`training.probe`); runs and studies that are still being made
    may be looked at, too.
    """
    from equipoise.diagnosis import Verdict
    from equipoise.report import write_figure
    from equipoise.report.console.verdicts import study_on_console, verdict_on_console
    from equipoise.report.figures.gradients import study_verdict_figure, verdict_figure
    from equipoise.studies.results import diagnose as studies

    found = studies.diagnose(path, {"given": parse_weights(weights, tasks_of(path))} if weights else None)
    single = isinstance(found, Verdict)
    if figure is not None:
        write_figure(verdict_figure(found, studies.read_probe(path)) if single else study_verdict_figure(found), figure)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    console.print(verdict_on_console(found) if single else study_on_console(found))
    if figure is not None:
        say(f"Figure: {figure}")


def tasks_of(path: Path) -> list[str]:
    """The tasks of a study or a run."""
    from equipoise.config import Recipe, load
    from equipoise.studies.results.diagnose import read_probe
    from equipoise.studies.results.study import RECIPE

    if (path / RECIPE).exists():
        return list(load(path / RECIPE, Recipe).tasks)
    return read_probe(path)["tasks"].explode().unique(maintain_order=True).to_list()


def parse_weights(given: Sequence[str], tasks: Sequence[str]) -> dict[str, float]:
    """Weights by task from the command line.

    Args:
        given: `TASK=NUMBER` each.
        tasks: The known tasks.

    Raises:
        ValueError: One is no such assignment, or has another task.

    >>> parse_weights(["depth=2", "edge=50"], ["seg", "depth", "edge"])
    {'depth': 2.0, 'edge': 50.0}
    """
    found = {}
    for text in given:
        task, _, number = text.partition("=")
        try:
            found[task] = float(number)
        except ValueError:
            raise ValueError(f"`--weight` should be TASK=NUMBER, such as edge=50. Found `--weight {text}`.") from None
        if task not in tasks:
            raise unknown("task of --weight", task, tasks)
        if not (math.isfinite(found[task]) and found[task] >= 0):
            raise ValueError(f"A weight should be a finite number of at least 0. Found `--weight {text}`.")
    return found
