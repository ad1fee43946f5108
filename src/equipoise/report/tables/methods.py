"""The list of balancing methods: for a terminal, as a page of documentation, and as plain data."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from equipoise.balancing import Balancer, Need, Place, hyper_parameters

_COMMON = frozenset(hyper_parameters(Balancer))
"""The options that every method takes."""
_COSTS = {
    Place.LOSSES: "as a plain step",
    Place.LAST_LAYER: "one backward pass and at most T weight gradients of a single layer",
    Place.FEATURES: "as a plain step",
    Place.SHARED: "T passes through the trunk",
}


def method_records(methods: Mapping[str, type[Balancer]]) -> list[dict[str, Any]]:
    """Return what is known of each method as plain data."""
    return [
        {
            "name": name,
            "title": method.info.title,
            "paper": method.info.paper,
            "default_place": method.info.default_place.value,
            "cost": _COSTS[method.info.default_place],
            "needs": [need.value for need in Need if need in method.info.needs],
            "scale": method.info.scale,
            "heads": method.info.heads,
            "state": method.info.state,
            "hyper_parameters": {
                key: "required" if declared.required else declared.default
                for key, declared in hyper_parameters(method).items()
            },
            "sources": {key: one.source for key, one in hyper_parameters(method).items() if one.source},
        }
        for name, method in methods.items()
    ]


def method_table(records: Sequence[Mapping[str, Any]]) -> Table:
    """Return the methods as a table for a terminal of any width.

    Args:
        records: From `method_records`.
    """
    table = Table(box=box.HORIZONTALS, show_header=False, show_lines=True, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for record in records:
        options = ", ".join(f"{key}={value}" for key, value in record["hyper_parameters"].items() if key not in _COMMON)
        lines = [
            record["paper"],
            f"measures at: {record['default_place']}; costs: {record['cost']}",
            f"needs: {', '.join(record['needs']) or 'nothing else'}",
            f"state: {record['state']}",
            f"hyper-parameters: {options or 'none'}",
        ]
        table.add_row(Text(record["name"], "bold"), Text("\n".join(lines)))
    return table


def method_page(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the methods as a page of documentation in Markdown.

    Args:
        records: From `method_records`.
    """
    common = " and ".join(f"`{name}`" for name in sorted(_COMMON))
    lines = [
        "# The balancing methods",
        "",
        "`equipoise methods --markdown` writes this page, and a test checks that it is up to date. The docstrings of",
        "the classes hold the formulas and the differences from public code; `equipoise.functional` holds the",
        f"mathematics alone. Every method also takes {common}, see `equipoise.Balancer`.",
        "",
        "| name | measures at | cost of a step | also needs |",
        "|---|---|---|---|",
        *(
            f"| [`{record['name']}`](#{record['name']}) | {record['default_place']} | {record['cost']} | "
            f"{', '.join(record['needs']) or 'nothing'} |"
            for record in records
        ),
    ]
    titles = {"default_place": "measures at", "scale": "scale", "heads": "heads", "state": "state"}
    for record in records:
        lines += ["", f"## {record['name']}", "", f"**{record['title']}**: {record['paper']}.", ""]
        lines += [f"- {title}: {record[key]}" for key, title in titles.items()]
        for key, value in record["hyper_parameters"].items():
            if key in _COMMON:
                continue
            source = f" ({record['sources'][key]})" if key in record["sources"] else ""
            lines.append(f"- `{key} = {value}`{source}" if value != "required" else f"- `{key}`, required{source}")
    return "\n".join(lines) + "\n"
