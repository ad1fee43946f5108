"""The list of balancing methods, for people and as data."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from equipoise.balancing import Balancer, Need, Source, hyper_parameters
from equipoise.balancing.balancer import Common

_COMMON = frozenset(Common.__annotations__)
"""The options that every method takes."""
_COSTS = {
    Source.LOSSES: "as a plain step",
    Source.LAST_LAYER: "as a plain step and at most T gradients of one layer",
    Source.FEATURES: "as a plain step",
    Source.SHARED: "T passes through the trunk",
}


def method_records(methods: Mapping[str, type[Balancer]]) -> list[dict[str, Any]]:
    """The record of every method as plain data."""
    return [
        {
            "name": name,
            "title": method.record.title,
            "paper": method.record.paper,
            "sees": method.record.sees.value,
            "cost": _COSTS[method.record.sees],
            "needs": [need.value for need in Need if need in method.record.needs],
            "scale": method.record.scale,
            "heads": method.record.heads,
            "state": method.record.state,
            "hyper_parameters": {
                key: "required" if default is inspect.Parameter.empty else default
                for key, default in hyper_parameters(method).items()
            },
            "sources": dict(method.record.sources),
        }
        for name, method in methods.items()
    ]


def method_table(records: Sequence[Mapping[str, Any]]) -> Table:
    """The methods as a table for a terminal of any width."""
    table = Table(box=box.HORIZONTALS, show_header=False, show_lines=True, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for record in records:
        hyper = ", ".join(f"{key}={value}" for key, value in record["hyper_parameters"].items() if key not in _COMMON)
        lines = [
            record["paper"],
            f"sees the {record['sees']}; costs {record['cost']}",
            f"remembers: {record['state']}",
            f"hyper-parameters: {hyper or 'none'}",
        ]
        table.add_row(Text(record["name"], "bold"), Text("\n".join(lines)))
    return table


def method_page(records: Sequence[Mapping[str, Any]]) -> str:
    """The methods as a page of documentation, in Markdown."""
    lines = [
        "# The balancing methods",
        "",
        "Made by `equipoise methods --markdown`; a test keeps it true. Formulas and differences from public code are",
        "in the docstrings of the classes, the mathematics alone in `equipoise.functional`. Every method also takes",
        f"{' and '.join(f'`{name}`' for name in sorted(_COMMON))}, see `equipoise.Balancer`.",
        "",
        "| name | sees | cost of a step | also needs |",
        "|---|---|---|---|",
        *(
            f"| [`{record['name']}`](#{record['name']}) | {record['sees']} | {record['cost']} | "
            f"{', '.join(record['needs']) or 'nothing'} |"
            for record in records
        ),
    ]
    for record in records:
        lines += ["", f"## {record['name']}", "", f"**{record['title']}**: {record['paper']}.", ""]
        lines += [f"- {key}: {record[key]}" for key in ("sees", "scale", "heads", "state")]
        for key, value in record["hyper_parameters"].items():
            if key in _COMMON:
                continue
            source = f" ({record['sources'][key]})" if key in record["sources"] else ""
            lines.append(f"- `{key} = {value}`{source}" if value != "required" else f"- `{key}`, required{source}")
    return "\n".join(lines) + "\n"
