"""The list of networks with their parameters and multiply-accumulates: for a terminal and as plain data."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from rich import box
from rich.table import Table

from equipoise import models
from equipoise.models.cost import cost
from equipoise.tasks import Output


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
