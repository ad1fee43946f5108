"""`equipoise methods`."""

import sys
from typing import Annotated

import typer

from equipoise.cli.terminal import console, print_json


def methods(
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as JSON.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/methods.md.")] = False,
) -> None:
    """List the balancing methods: what each sees, what it costs, where it comes from, its hyper-parameters."""
    from equipoise import balancing
    from equipoise.report.methods import method_page, method_records, method_table

    records = method_records(balancing.all_methods())
    if as_json:
        print_json(records)
    elif as_markdown:
        sys.stdout.write(method_page(records))
    else:
        console.print(method_table(records))
