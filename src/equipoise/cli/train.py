"""`equipoise train`."""

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli.terminal import Output, Overrides, Recipe, console, errors, print_line


def train(
    recipe: Recipe,
    overrides: Overrides = None,
    balancer: Annotated[str | None, typer.Option(help="Which of the recipe's balancers; the first by default.")] = None,
    variant: Annotated[str | None, typer.Option(help="Which of the recipe's variants; the first by default.")] = None,
    output: Output = Path("studies"),
) -> None:
    """Train one multi-task network of a recipe, with one balancer and the first seed, and print its metrics.

    Its best checkpoint is chosen by delta_m if `bench` has trained the single-task networks of the recipe, otherwise by
    the mean relative loss.
    """
    from equipoise import lab

    run = lab.train(recipe, overrides or (), balancer=balancer, variant=variant, output=output, progress=True)
    for key, value in run.metrics.items():
        console.print(f"{key:>24} {value:10.4f}", highlight=False)
    for task, weight in run.weights.items():
        console.print(f"{'weight ' + task:>24} {weight:10.4f}", highlight=False)
    print_line(f"Run: {run.directory}")
    if run.status == "missing":
        errors.print("Stopped. The same command continues from the last checkpoint.")
        raise typer.Exit(130)
    if run.status != "finished":
        raise typer.Exit(1)
