"""`equipoise methods`."""

import sys
from typing import Annotated

import typer

from equipoise.cli.terminal import console, errors, print_json


def methods(
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as JSON.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/methods.md.")] = False,
) -> None:
    """List the balancing methods: what each sees, what it costs, where it comes from, its hyper-parameters."""
    from equipoise import balancing
    from equipoise.report.tables.catalogue import method_page, method_records, method_table

    records = method_records(balancing.all_methods())
    if as_json:
        print_json(records)
    elif as_markdown:
        sys.stdout.write(method_page(records))
    else:
        console.print(method_table(records))


def models(
    architectures: Annotated[list[str] | None, typer.Argument(help="Only these.", show_default="all")] = None,
    tasks: Annotated[str, typer.Option(help="The dataset whose tasks the networks get.")] = "nyud",
    size: Annotated[str, typer.Option(help="Height and width of the images.")] = "448x576",
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as JSON.")] = False,
) -> None:
    """List architectures on backbones, with one task and with all of a dataset: parameters, multiply-accumulates."""
    from equipoise import data
    from equipoise._core import text
    from equipoise.models import examples as all_examples
    from equipoise.report.console.progress import counting
    from equipoise.report.tables.catalogue import model_records, model_table

    examples = all_examples()
    if architectures:
        known = {example["architecture"]: None for example in examples}
        for architecture in architectures:
            text.choose("architectures", architecture, known)
        examples = [example for example in examples if example["architecture"] in architectures]
    sides = tuple(int(side) for side in size.split("x") if side.isdecimal())
    if len(sides) != 2 or min(sides) < 1 or size != "x".join(map(str, sides)):
        raise ValueError(f"`--size` should be height and width in pixels, such as 448x576. Found `--size {size}`.")
    outputs = {name: task.output for name, task in data.tasks(tasks).items()}
    with counting(errors, "Counting") as progress:
        records = model_records(examples, outputs, sides, progress)
    if as_json:
        print_json(records)
    else:
        console.print(model_table(records, sides))
