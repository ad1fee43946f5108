"""`equipoise train`."""

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli.terminal import Output, Overrides, Recipe, check_runs, console, errors, make_runs, prepare_data, say


def train(
    recipe: Recipe,
    overrides: Overrides = None,
    balancer: Annotated[str | None, typer.Option(help="Which of the recipe's balancers; the first by default.")] = None,
    variant: Annotated[str | None, typer.Option(help="Which of the recipe's variants; the first by default.")] = None,
    output: Output = Path("studies"),
) -> None:
    """Train one multi-task network of a recipe, with one balancer and the first seed, and print its metrics.

    Its best checkpoint is chosen by delta_m where `bench` has trained the single-task networks of the recipe, else by
    the mean relative loss.
    """
    from equipoise import config, studies
    from equipoise._core import text
    from equipoise.training import read_result

    study = config.load(recipe, config.Recipe, overrides or ())
    prepare_data(study)
    multi = [run for run in studies.plan(study, output) if run.needs and not run.trial]
    if study.variants:
        labels = {entry.label: entry.label for entry in study.variants}
        label = text.choose("--variant", variant or study.variants[0].label, labels)
        multi = [run for run in multi if run.variant == label]
    elif variant is not None:
        raise ValueError(f"`--variant` needs a recipe with variants. Found `--variant {variant}`.")
    if not multi:
        raise ValueError("Hyper-parameters of this recipe are to be chosen first: call `equipoise bench`.")
    run = text.choose("--balancer", balancer or multi[0].title, {run.title: run for run in reversed(multi)})
    if any(read_result(studies.run_directory(output, key)) is None for key in run.needs):
        # A run that is compared with nothing is another run than the one that `bench` will make.
        run = run.alone()
    check_runs([run], output)
    interrupted = not make_runs([run], output, jobs=1)
    record = studies.collect([run], output)[0]
    for key, value in record.metrics.items():
        console.print(f"{key:>24} {value:10.4f}", highlight=False)
    for task, weight in record.weights.items():
        console.print(f"{'weight ' + task:>24} {weight:10.4f}", highlight=False)
    say(f"Run: {record.directory}")
    if interrupted:
        errors.print("Stopped. The same command goes on from the last checkpoint.")
        raise typer.Exit(130)
    if record.status != "finished":
        raise typer.Exit(1)
