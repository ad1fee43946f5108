"""The list of balancing methods, for people and as data."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from rich import box
from rich.table import Table
from rich.text import Text

from equipoise import models
from equipoise.balancing import Balancer, Need, Place, hyper_parameters
from equipoise.models.cost import cost
from equipoise.tasks import Output

_COMMON = frozenset(hyper_parameters(Balancer))
"""The options that every method takes."""
_COSTS = {
    Place.LOSSES: "as a plain step",
    Place.LAST_LAYER: "as a plain step and at most T gradients of one layer",
    Place.FEATURES: "as a plain step",
    Place.SHARED: "T passes through the trunk",
}


def method_records(methods: Mapping[str, type[Balancer]]) -> list[dict[str, Any]]:
    """The record of every method as plain data."""
    return [
        {
            "name": name,
            "title": method.info.title,
            "paper": method.info.paper,
            "sees": method.info.default_place.value,
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


def model_records(
    examples: Sequence[Mapping[str, Any]],
    tasks: Mapping[str, Output],
    size: tuple[int, int],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[dict[str, Any]]:
    """The cost of every network for the first of some tasks and for all of them, as plain data.

    A network that cannot be built so has an `error` in place of its numbers.

    Args:
        examples: Arguments of `equipoise.models.create` without the tasks, see `equipoise.models.examples`.
        tasks: What the networks put out.
        size: (H, W) of an image.
        progress: Called with how many of how many networks are done.
    """
    first = next(iter(tasks))
    chosen = [{first: tasks[first]}, tasks] if len(tasks) > 1 else [tasks]
    wanted = [(example, of) for example in examples for of in chosen]
    records = []
    for done, (example, of) in enumerate(wanted, 1):
        options = {key: value for key, value in example.items() if key not in ("architecture", "backbone")}
        backbone = example.get("backbone") or models.default_backbone(example["architecture"])
        record = {"architecture": example["architecture"], "backbone": backbone, "options": options, "tasks": list(of)}
        try:
            # Without data: nothing is drawn, computed or kept.
            with torch.device("meta"):
                found = cost(models.create(tasks=of, **example), size)
        except ValueError as error:
            records.append({**record, "error": str(error)})
        else:
            numbers = {"parameters": found.parameters, "shared": found.shared, "by_task": found.tasks}
            records.append({**record, **numbers, "macs": found.macs})
        progress(done, len(wanted))
    return records


def model_table(records: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> Table:
    """The networks as a table for a terminal: parameters in millions, multiply-accumulates in billions."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=f"Parameters (millions) and multiply-accumulates (billions, one image of {size[0]}x{size[1]})",
        caption="Multiply-accumulates are half of what PyTorch's counter finds in convolutions and matrix products.",
    )
    for column in ("architecture", "backbone", "tasks"):
        table.add_column(column, overflow="fold")
    for column in ("total", "shared", "per task", "GMACs"):
        table.add_column(column, justify="right", no_wrap=True)
    before = None
    for record in records:
        network = record["architecture"], record["backbone"], record["options"]
        known = " ".join(part for part in (record["backbone"], _manner(record["options"])) if part)
        names = [record["architecture"], known] if network != before else ["", ""]
        before = network
        tasks = record["tasks"][0] if len(record["tasks"]) == 1 else f"all {len(record['tasks'])}"
        table.add_row(*names, tasks, *([record["error"]] if "error" in record else _numbers(record)))
    return table


def _manner(options: Mapping[str, Any]) -> str:
    """What tells networks of one architecture on one backbone apart."""
    return ", ".join(f"{value}" for key, value in options.items() if isinstance(value, str))


def _numbers(record: Mapping[str, Any]) -> list[str]:
    own = sorted({f"{count / 1e6:.2f}" for count in record["by_task"].values()}, key=float)
    per_task = own[0] if len(own) == 1 else f"{own[0]} to {own[-1]}"
    return [
        f"{record['parameters'] / 1e6:.2f}",
        f"{record['shared'] / 1e6:.2f}",
        per_task,
        f"{record['macs'] / 1e9:.1f}",
    ]
