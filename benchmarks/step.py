"""What a training step costs with each balancing method, as a ratio to the step of the plain summed loss.

    python benchmarks/step.py --tasks 2 4 8 --size 64 --batch 8 --repeats 15

All methods take turns on the same model and batch, so that a busy machine slows them all alike; medians are compared.
The floor is what a method must cost: 1 for those that see losses or features, (F + H + E + T L) / (F + H + E) at the
last shared layer, (F + H + T E) / (F + H + E) at all shared parameters. F is the forward pass, H and E are the backward
passes of heads and trunk, L is the gradient of the last shared layer, T the number of tasks.
"""

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from inspect import Parameter

import timm
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import equipoise
from equipoise.balancing import Balancer, Source, all_methods, hyper_parameters

Step = Callable[[], object]


class Network(nn.Module):
    """A timm ResNet as trunk and a light convolutional head for each task."""

    def __init__(self, backbone: str, tasks: int, width: int) -> None:
        super().__init__()
        self.trunk = timm.create_model(backbone, features_only=True, out_indices=(4,))
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

    def losses(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The features, and a loss for each task."""
        (features,) = self.trunk(images)
        return features, {task: (head(features) - 1).square().mean() for task, head in self.heads.items()}


def balancers(tasks: int) -> dict[str, Balancer]:
    """Every registered method at every place where it can measure."""
    found: dict[str, Balancer] = {}
    for name, method in all_methods().items():
        options = hyper_parameters(method)
        given = {"weights": dict.fromkeys((f"task{number}" for number in range(tasks)), 1.0)} if name == "fixed" else {}
        if any(default is Parameter.empty and key not in given for key, default in options.items()):
            continue
        if "measure_at" not in options:
            found[name] = equipoise.create(name, **given)
            continue
        for place in ("last_layer", "features", "shared"):
            try:
                found[f"{name} ({place})"] = equipoise.create(name, measure_at=place, **given)
            except ValueError:
                continue
    return found


def torchjd_steps(network: Network, images: Tensor) -> dict[str, Step]:
    """TorchJD's step with its cheapest aggregator, its tasks differentiated together and one by one."""
    if importlib.util.find_spec("torchjd") is None:
        return {}
    from torchjd.aggregation import Mean
    from torchjd.autojac import jac_to_grad, mtl_backward

    aggregator = Mean()

    def step(chunk: int | None) -> None:
        features, losses = network.losses(images)
        mtl_backward(list(losses.values()), features, parallel_chunk_size=chunk)
        jac_to_grad(list(network.trunk.parameters()), aggregator)

    return {"torchjd Mean (together)": lambda: step(None), "torchjd Mean (one by one)": lambda: step(1)}


def interleaved(
    steps: dict[str, Step], parts: dict[str, Step], repeats: int, prepare: Callable[[bool], None], device: torch.device
) -> dict[str, float]:
    """The median time in seconds of each step, and of each part of one, which needs a graph to start from."""
    times: dict[str, list[float]] = {name: [] for name in steps | parts}
    for repeat in range(repeats + 1):
        for name, step in (steps | parts).items():
            prepare(name in parts)
            if device.type == "cuda":
                torch.cuda.synchronize()
            start = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if repeat:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def measure(arguments: argparse.Namespace, tasks: int, console: Console) -> None:
    device = torch.device(arguments.device)
    torch.manual_seed(0)
    network = Network(arguments.backbone, tasks, arguments.width).to(device)
    images = torch.randn(arguments.batch, 3, arguments.size, arguments.size, device=device)
    held: dict[str, tuple[Tensor, dict[str, Tensor]]] = {}
    head_parameters = list(network.heads.parameters())
    trunk_parameters = list(network.trunk.parameters())

    def prepare(with_graph: bool) -> None:
        network.zero_grad(set_to_none=True)
        held.clear()
        if with_graph:
            held["graph"] = network.losses(images)

    def plain() -> None:
        _, losses = network.losses(images)
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

    def balanced(balancer: Balancer) -> Step:
        def step() -> None:
            features, losses = network.losses(images)
            balancer.backward(losses, features=features, last_layer=network.last_layer)

        return step

    methods = balancers(tasks)
    steps: dict[str, Step] = {"plain sum": plain}
    steps |= {name: balanced(balancer) for name, balancer in methods.items()}
    steps |= torchjd_steps(network, images)
    if arguments.only:
        steps = {n: s for n, s in steps.items() if n == "plain sum" or any(part in n for part in arguments.only)}
    # The parts take turns with the methods too: a floor from a quieter minute would be no floor.
    parts: dict[str, Step] = {"heads": heads, "trunk": trunk, "last layer": last_layer}
    times = interleaved(steps, parts, arguments.repeats, prepare, device)
    parts_times = {name: times.pop(name) for name in parts}

    whole = times["plain sum"]
    floors = {
        Source.LOSSES: 1.0,
        Source.FEATURES: 1.0,
        Source.LAST_LAYER: 1 + tasks * parts_times["last layer"] / whole,
        Source.SHARED: 1 + (tasks - 1) * parts_times["trunk"] / whole,
    }
    table = Table(
        title=f"T = {tasks}: plain step {whole * 1e3:.0f} ms, of it H {parts_times['heads'] / whole:.0%}, "
        f"E {parts_times['trunk'] / whole:.0%}, L {parts_times['last layer'] / whole:.1%}"
    )
    for column in ("method", "time / plain", "floor", "over the floor"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name, seconds in times.items():
        sees = (
            methods[name].source(())
            if name in methods
            else Source.SHARED
            if name.startswith("torchjd")
            else Source.LOSSES
        )
        ratio, floor = seconds / whole, floors[sees]
        table.add_row(name, f"{ratio:.3f}", f"{floor:.3f}", f"{ratio / floor - 1:+.1%}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 4, 8], help="numbers of tasks")
    parser.add_argument("--backbone", default="resnet18", help="a timm ResNet")
    parser.add_argument("--size", type=int, default=128, help="height and width of the images")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--width", type=int, default=64, help="channels inside a head")
    parser.add_argument("--repeats", type=int, default=15, help="timed steps a method")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="*", help="parts of the names of the methods to time; all when left out")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    console = Console()
    for tasks in arguments.tasks:
        measure(arguments, tasks, console)


if __name__ == "__main__":
    main()
