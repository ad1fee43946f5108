"""Cost of a training step with each balancing method, as a ratio to the step of the plain summed loss.

    python benchmarks/step.py --tasks 2 4 8 16 --size 96 --batch 4 --repeats 5 --markdown step.md

All methods, and TorchJD's if it is installed, take turns on the same model and batch, so that a busy machine slows all
of them alike. The smallest of the repeats counts. On a CPU the time is the processor time of the process, on one
thread; on a GPU it is wall-clock time.

The floor is the least that a method must cost: 1 if it measures losses or features, (F + H + E + T L) / (F + H + E) at
the last shared layer, (F + H + T E) / (F + H + E) at all shared parameters. F is the forward pass, H and E are the
backward passes of heads and trunk, L is the gradient of the last shared layer, T the number of tasks. On small maps,
methods at the last shared layer cost less than their floor, because they do not form these gradients. Methods that need
more than the batch of the step (marked *) have no floor.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from inspect import Parameter
from pathlib import Path

import timm
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import equipoise
from equipoise.balancing import Balancer, Context, Forward, Need, Place, all_methods, hyper_parameters, undisturbed

Step = Callable[[], object]

PEERS = {
    "aligned_mtl": "AlignedMTL",
    "cagrad": "CAGrad",
    "config": "ConFIG",
    "excess_mtl": "ExcessMTL",
    "fairgrad": "FairGrad",
    "graddrop": "GradDrop",
    "gradvac": "GradVac",
    "imtl_g": "IMTLG",
    "mgda": "MGDA",
    "nash_mtl": "NashMTL",
    "pcgrad": "PCGrad",
    "upgrad": "UPGrad",
}
"""TorchJD's names of the methods that it has, too, by our names."""


class Network(nn.Module):
    """A timm ResNet as trunk and a light convolutional head for each task."""

    def __init__(self, backbone: str, tasks: int, width: int, output_stride: int) -> None:
        super().__init__()
        self.trunk = timm.create_model(backbone, features_only=True, out_indices=(4,), output_stride=output_stride)
        channels = self.trunk.feature_info.channels()[-1]
        self.heads = nn.ModuleDict(
            {
                f"task{number}": nn.Sequential(
                    nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 1, 1)
                )
                for number in range(tasks)
            }
        )
        block = self.trunk["layer4"][-1]
        self.last_layer = block.conv3 if hasattr(block, "conv3") else block.conv2

    def forward(self, images: Tensor, balancer: Balancer | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the features, and a loss for each task."""
        (features,) = self.trunk(images)
        losses = {}
        for task, head in self.heads.items():
            read = features if balancer is None else balancer.adapt(task, features)
            losses[task] = (head(read) - 1).square().mean()
        return features, losses


def balancers(tasks: int, everywhere: bool) -> dict[str, Balancer]:
    """Return every registered method, at its default place or at every place where it can measure."""
    found: dict[str, Balancer] = {}
    for name, method in all_methods().items():
        options = hyper_parameters(method)
        given = {"weights": dict.fromkeys((f"task{number}" for number in range(tasks)), 1.0)} if name == "fixed" else {}
        if any(default is Parameter.empty and key not in given for key, default in options.items()):
            continue
        found[name] = equipoise.create(name, **given)
        for place in ("last_layer", "features", "shared"):
            if everywhere and options.get("measure_at", place) != place:
                try:
                    found[f"{name} ({place})"] = equipoise.create(name, measure_at=place, **given)
                except ValueError:
                    continue
    return found


def torchjd_steps(network: Network, images: Tensor, names: list[str]) -> dict[str, Step]:
    """Return TorchJD's step for each method that it has. It differentiates tasks one by one, its faster way here."""
    try:
        from torchjd import aggregation
        from torchjd.autojac import jac_to_grad, mtl_backward
    except ImportError:
        return {}
    options = {"CAGrad": (0.4,), "FairGrad": (1.0,), "NashMTL": (len(network.heads),)}
    found: dict[str, Step] = {}
    for theirs in ["Mean", *(PEERS[name] for name in names if name in PEERS)]:
        try:
            aggregator = getattr(aggregation, theirs)(*options.get(theirs, ()))
            aggregator(torch.eye(len(network.heads)))
        except (ImportError, NameError):  # a solver that it needs is not installed
            continue

        def step(aggregator: Callable[[Tensor], Tensor] = aggregator) -> None:
            features, losses = network(images)
            mtl_backward(list(losses.values()), features, parallel_chunk_size=1)
            jac_to_grad(list(network.trunk.parameters()), aggregator)

        found[f"torchjd {theirs}"] = step
    return found


def balanced(balancer: Balancer, network: Network, images: Tensor) -> Step:
    """Return a step with one of our methods, with the further passes that the method asks for."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    with torch.no_grad():
        (teacher,) = network.trunk(images)

    def another() -> Forward:
        with undisturbed(network):
            features, losses = network(images.flip(0), balancer)
            return Forward(losses, features)

    context = Context(
        again=another,
        further=another,
        validation=another,
        teachers=lambda: {task: teacher for task in network.heads},  # noqa: C420 typed
        optimizer=optimizer,
    )

    def step() -> None:
        features, losses = network(images, balancer)
        balancer.backward(losses, features=features, last_layer=network.last_layer, context=context)
        if Need.AFTER_STEP in balancer.needs:
            balancer.after_step(context)

    return step


def interleaved(
    steps: dict[str, Step], parts: dict[str, Step], repeats: int, prepare: Callable[[bool], None], device: torch.device
) -> dict[str, float]:
    """Return the smallest time in seconds of each step, and of each part of a step; a part starts from a graph."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    times: dict[str, list[float]] = {name: [] for name in steps | parts}
    for repeat in range(repeats + 1):
        for name, step in (steps | parts).items():
            prepare(name in parts)
            if device.type == "cuda":
                torch.cuda.synchronize()
            start = clock()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if repeat:  # the first round warms up
                times[name].append(clock() - start)
    return {name: min(values) for name, values in times.items()}


def measure(arguments: argparse.Namespace, tasks: int) -> Table:
    """Return the table of all methods for a number of tasks."""
    device = torch.device(arguments.device)
    torch.manual_seed(0)
    network = Network(arguments.backbone, tasks, arguments.width, arguments.output_stride).to(device)
    images = torch.randn(arguments.batch, 3, arguments.size, arguments.size, device=device)
    held: dict[str, tuple[Tensor, dict[str, Tensor]]] = {}
    head_parameters = list(network.heads.parameters())
    trunk_parameters = list(network.trunk.parameters())

    def prepare(with_graph: bool) -> None:
        network.zero_grad(set_to_none=True)
        held.clear()
        if with_graph:
            held["graph"] = network(images)

    def plain() -> None:
        _, losses = network(images)
        torch.stack(list(losses.values())).sum().backward()

    def heads() -> None:
        features, losses = held["graph"]
        torch.autograd.grad(list(losses.values()), [features, *head_parameters])

    def trunk() -> None:
        features, _ = held["graph"]
        torch.autograd.grad(features, trunk_parameters, torch.ones_like(features))

    def last_layer() -> None:
        features, _ = held["graph"]
        torch.autograd.grad(features, network.last_layer.weight, torch.ones_like(features), retain_graph=True)

    methods = balancers(tasks, arguments.everywhere)
    if arguments.only:
        methods = {name: method for name, method in methods.items() if any(part in name for part in arguments.only)}
    steps: dict[str, Step] = {"plain sum": plain}
    steps |= {name: balanced(balancer, network, images) for name, balancer in methods.items()}
    steps |= torchjd_steps(network, images, list(methods))
    # The parts take turns with the methods: a floor that was measured in a quieter minute would be too low.
    parts: dict[str, Step] = {"heads": heads, "trunk": trunk, "last layer": last_layer}
    times = interleaved(steps, parts, arguments.repeats, prepare, device)

    whole = times["plain sum"]
    floors = {
        Place.LOSSES: 1.0,
        Place.FEATURES: 1.0,
        Place.LAST_LAYER: 1 + tasks * times["last layer"] / whole,
        Place.SHARED: 1 + (tasks - 1) * times["trunk"] / whole,
    }
    table = Table(
        title=f"T = {tasks}: plain step {whole * 1e3:.0f} ms, of it H {times['heads'] / whole:.0%}, "
        f"E {times['trunk'] / whole:.0%}, L {times['last layer'] / whole:.1%}"
    )
    for column in ("method", "time / plain", "floor", "over the floor", "TorchJD / plain", "times faster"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name in ("plain sum", *methods):
        ratio = times[name] / whole
        row = [name, f"{ratio:.3f}", "", "", "", ""]
        if name in methods and methods[name].needs:
            row[0] = f"{name} *"
        else:
            floor = floors[methods[name].place(()) if name in methods else Place.LOSSES]
            row[2:4] = f"{floor:.3f}", f"{ratio / floor - 1:+.1%}"
        theirs = f"torchjd {PEERS.get(name, '')}"
        if theirs in times:
            row[4:] = f"{times[theirs] / whole:.3f}", f"{times[theirs] / times[name]:.2f}"
        table.add_row(*row)
    if "torchjd Mean" in times:
        table.add_row("TorchJD Mean", "", "", "", f"{times['torchjd Mean'] / whole:.3f}", "")
    return table


def markdown(table: Table) -> str:
    """Return a table as Markdown."""
    columns = [list(column.cells) for column in table.columns]
    rows = [[str(column.header) for column in table.columns], ["---"] * len(columns), *zip(*columns, strict=True)]
    return f"{table.title}\n\n" + "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows) + "\n\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 4, 8, 16], help="numbers of tasks")
    parser.add_argument("--backbone", default="resnet18", help="a timm ResNet")
    parser.add_argument("--output-stride", type=int, default=32, help="8 for a dilated trunk, as in dense prediction")
    parser.add_argument("--size", type=int, default=96, help="height and width of the images")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--width", type=int, default=64, help="channels inside a head")
    parser.add_argument("--repeats", type=int, default=5, help="timed steps a method")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--everywhere", action="store_true", help="time the methods at every place where they can measure"
    )
    parser.add_argument("--only", nargs="*", help="parts of names of the methods to time; all by default")
    parser.add_argument("--markdown", type=Path, help="a file that the tables are added to")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore", module="torchjd|cvxpy")
    for tasks in arguments.tasks:
        table = measure(arguments, tasks)
        Console().print(table)
        if arguments.markdown:
            with arguments.markdown.open("a") as file:
                file.write(markdown(table))


if __name__ == "__main__":
    main()
