"""The list of balancing methods: for a terminal, as a page of documentation, and as plain data."""

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


def network_records(
    examples: Sequence[Mapping[str, Any]],
    tasks: Mapping[str, Output],
    size: tuple[int, int],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[dict[str, Any]]:
    """Return the cost of every network as plain data, with the first task and with all tasks.

    A network that cannot be built has an `error` in place of its numbers.

    Args:
        examples: Arguments of `equipoise.models.create` without the tasks, see `equipoise.models.examples`.
        tasks: The outputs of the networks by task.
        size: (H, W) of an image in pixels.
        progress: Called with the number of finished networks and of all networks.
    """
    first = next(iter(tasks))
    task_sets = [{first: tasks[first]}, tasks] if len(tasks) > 1 else [tasks]
    wanted = [(example, of) for example in examples for of in task_sets]
    records = []
    for done, (example, of) in enumerate(wanted, 1):
        options = {key: value for key, value in example.items() if key not in ("architecture", "backbone")}
        backbone = example.get("backbone") or models.default_backbone(example["architecture"])
        record = {"architecture": example["architecture"], "backbone": backbone, "options": options, "tasks": list(of)}
        try:
            # Without data: nothing is computed, stored or drawn at random.
            with torch.device("meta"):
                found = cost(models.create(tasks=of, **example), size)
        except ValueError as error:
            records.append({**record, "error": str(error)})
        else:
            numbers = {"parameters": found.parameters, "shared": found.shared, "by_task": found.tasks}
            records.append({**record, **numbers, "macs": found.macs})
        progress(done, len(wanted))
    return records


def network_table(records: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> Table:
    """Return the networks as a table for a terminal: parameters in millions, multiply-accumulates in billions.

    Args:
        records: From `network_records`.
        size: (H, W) of the image that they were counted with.
    """
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
        manner = ", ".join(value for value in record["options"].values() if isinstance(value, str))
        described = " ".join(part for part in (record["backbone"], manner) if part)
        names = [record["architecture"], described] if network != before else ["", ""]
        before = network
        tasks = record["tasks"][0] if len(record["tasks"]) == 1 else f"all {len(record['tasks'])}"
        table.add_row(*names, tasks, *([record["error"]] if "error" in record else _numbers(record)))
    return table


def _numbers(record: Mapping[str, Any]) -> list[str]:
    own = sorted({f"{count / 1e6:.2f}" for count in record["by_task"].values()}, key=float)
    per_task = own[0] if len(own) == 1 else f"{own[0]} to {own[-1]}"
    return [
        f"{record['parameters'] / 1e6:.2f}",
        f"{record['shared'] / 1e6:.2f}",
        per_task,
        f"{record['macs'] / 1e9:.1f}",
    ]
