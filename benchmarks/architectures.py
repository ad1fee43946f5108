"""Cost of a training step of each network, as a ratio to the shared trunk with plain decoders on the same backbone.

    python benchmarks/architectures.py --size 448 576 --batch 6
    python benchmarks/architectures.py --only mtan shared --size 128 160 --batch 2 --modes plain channels_last bf16

Time is that of a forward and a backward pass of the summed losses. A network and the shared trunk take turns in one
process, so that a busy machine slows both alike. Medians are compared. Memory is the peak of such a step, with weights
and gradients, in a process of its own: on a CPU, the growth of the process; on a GPU, the allocations of PyTorch.
`--modes` measures each network also with weights and images in channels_last, with bfloat16 autocast, or with
torch.compile, as a ratio to its plain step. Attention is fused in all modes.
"""

import argparse
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from equipoise import models
from equipoise.models import MultiTaskModel
from equipoise.tasks import Output

Example = dict[str, Any]

TASKS = {
    "seg": Output(40, categories=40),
    "depth": Output(1, categories=40),
    "normals": Output(3, categories=40),
    "edge": Output(1, categories=2),
}
"""The outputs for the tasks of NYU-v2."""
MODES = ("plain", "channels_last", "bf16", "compile")


def peak(device: str) -> int:
    """Return the largest memory so far, in bytes."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated()
    # In kibibytes; on macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def prepared(example: Example, mode: str, arguments: argparse.Namespace) -> Callable[[], None]:
    """Return a training step of a network, without the optimiser."""
    torch.manual_seed(0)
    model: MultiTaskModel = models.create(tasks=TASKS, **example).to(arguments.device)
    images = torch.randn(arguments.batch, 3, *arguments.size, device=arguments.device)
    if mode == "channels_last":
        model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    if mode == "compile":
        model.compile()

    def step() -> None:
        model.zero_grad(set_to_none=True)
        with torch.autocast(arguments.device, torch.bfloat16, enabled=mode == "bf16"):
            outputs = model(images)
            further = [*outputs.auxiliary.values(), *outputs.categorical.values()]
            maps = [*outputs.predictions.values(), *(one for several in further for one in several)]
            loss = torch.stack([(one.float() - 1).square().mean() for one in maps]).sum()
        loss.backward()
        if arguments.device != "cpu":
            torch.cuda.synchronize()

    return step


def measured(example: Example, reference: Example, arguments: argparse.Namespace) -> dict[str, float]:
    """Return the seconds of a step by mode and of the "reference", and the bytes of a plain step ("memory")."""
    torch.set_num_threads(arguments.threads)
    before = peak(arguments.device)
    steps = {"plain": prepared(example, "plain", arguments)}
    steps["plain"]()
    found = {"memory": float(peak(arguments.device) - before)}
    steps["reference"] = prepared(reference, "plain", arguments)
    steps |= {mode: prepared(example, mode, arguments) for mode in arguments.modes if mode != "plain"}
    for step in steps.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(arguments.repeats):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    return found | {name: statistics.median(seconds) for name, seconds in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=(448, 576), help="height and width of the images")
    parser.add_argument(
        "--batch",
        type=int,
        default=2,
        help="images in a batch; Guo et al. (2025) have 6 on ResNets and HRNets, 4 on ViTs",
    )
    parser.add_argument("--repeats", type=int, default=5, help="timed steps of each network")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=["plain"])
    parser.add_argument("--only", nargs="*", help="architectures; all by default")
    parser.add_argument("--backbones", nargs="*", help="parts of names of backbones; all by default")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()

    examples = models.examples()
    references: dict[str, Example] = {}
    for example in examples:
        if example["architecture"] == "shared":
            references.setdefault(example["backbone"], example)
    chosen = [
        example
        for example in examples
        if example["backbone"] in references
        and (not arguments.only or example["architecture"] in arguments.only)
        and (not arguments.backbones or any(part in example["backbone"] for part in arguments.backbones))
    ]
    modes = [mode for mode in arguments.modes if mode != "plain"]
    table = Table(title=f"Batches of {arguments.batch} images of {arguments.size[0]}x{arguments.size[1]}")
    for column in ("network", "backbone", "step (s)", "time / shared", "memory (GB)", "memory / shared", *modes):
        table.add_column(column, justify="left" if column in ("network", "backbone") else "right")
    memory: dict[str, float] = {}
    # Each network has a process of its own, so that its memory is its own.
    context = multiprocessing.get_context("spawn")
    ordered = sorted(chosen, key=lambda one: one not in references.values())
    for example in track(ordered, "Measuring", console=Console(stderr=True)):
        reference = references[example["backbone"]]
        needed = [reference] if example["backbone"] not in memory and example != reference else []
        for one in [*needed, example]:
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                found = pool.submit(measured, one, reference, arguments).result()
            if one == reference:
                memory[one["backbone"]] = found["memory"]
            ratio, size = found["plain"] / found["reference"], found["memory"]
            options = [value for key, value in one.items() if key not in ("architecture", "backbone")]
            table.add_row(
                " ".join([one["architecture"], *(value for value in options if isinstance(value, str))]),
                one["backbone"],
                f"{found['plain']:.2f}",
                f"{ratio:.2f}",
                f"{size / 1e9:.2f}",
                f"{size / memory[one['backbone']]:.2f}",
                *(f"{found[mode] / found['plain']:.2f}" for mode in modes),
            )
    Console().print(table)


if __name__ == "__main__":
    main()
