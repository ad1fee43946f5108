"""`equipoise methods` and `equipoise models`."""

import sys
from typing import Annotated

import typer

from equipoise._core.errors import InputError
from equipoise.cli.terminal import console, errors, print_json


def methods(
    as_json: Annotated[bool, typer.Option("--json", help="Print the methods as JSON.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/methods.md.")] = False,
) -> None:
    """List the balancing methods: where each measures, its cost, its paper and its hyper-parameters."""
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
    tasks: Annotated[str, typer.Option(metavar="DATASET", help="The dataset whose tasks the networks get.")] = "nyud",
    size: Annotated[str, typer.Option(metavar="HxW", help="Height and width of the images in pixels.")] = "448x576",
    as_json: Annotated[bool, typer.Option("--json", help="Print the networks as JSON.")] = False,
) -> None:
    """List the architectures with their parameters and multiply-accumulates, for one task and for all of a dataset."""
    from equipoise import data
    from equipoise._core import text
    from equipoise._core.errors import input_errors
    from equipoise.models import examples as all_examples
    from equipoise.report.console.progress import progress_bar
    from equipoise.report.tables.catalogue import network_records, network_table

    examples = all_examples()
    with input_errors():
        if architectures:
            known = {example["architecture"]: None for example in examples}
            for architecture in architectures:
                text.choose("architectures", architecture, known)
            examples = [example for example in examples if example["architecture"] in architectures]
        outputs = {name: task.output for name, task in data.tasks(tasks).items()}
    height, width = parse_size(size)
    with progress_bar(errors, "Counting") as progress:
        records = network_records(examples, outputs, (height, width), progress)
    if as_json:
        print_json(records)
    else:
        console.print(network_table(records, (height, width)))


def parse_size(size: str) -> tuple[int, int]:
    """Return height and width in pixels from the command line.

    Raises:
        ValueError: The text has another form.

    Example:
        >>> parse_size("448x576")
        (448, 576)
    """
    sides = [int(side) for side in size.split("x") if side.isdecimal()]
    if len(sides) != 2 or min(sides) < 1 or size != "x".join(map(str, sides)):
        raise InputError(f"`--size` should be height and width in pixels, such as 448x576. Found `--size {size}`.")
    return sides[0], sides[1]
