"""Print figures of the source: files, their median length, single-user files, circles, and hops of AvgNorm.

    python tools/house.py

A hop is a file of `balancing` in which a function runs while `AvgNorm.backward` turns losses into `.grad`. The argument
checks of `_core/errors.py`, and what describes the step once the gradient has arrived, are not counted.
"""

import ast
import statistics
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import FrameType
from typing import Any

SOURCE = Path(__file__).parents[1] / "src"


def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Return the modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                found.add(inner if inner in known else node.module)
        elif isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
    return found & known.keys()


def hops() -> list[str]:
    """Return the files that run between `AvgNorm.backward` and `.grad`, in the order in which they are entered."""
    import torch

    import equipoise

    trunk = torch.nn.Linear(3, 4)
    heads = torch.nn.ModuleDict({"a": torch.nn.Linear(4, 1), "b": torch.nn.Linear(4, 1)})
    features = trunk(torch.randn(8, 3))
    losses = {task: head(features).square().mean() for task, head in heads.items()}
    balancer = equipoise.AvgNorm()
    entered: dict[str, None] = {}

    def profile(frame: FrameType, event: str, _: Any) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "return" and frame.f_code.co_name == "accumulate_grad":
            # The gradient has arrived; what follows describes the step.
            sys.setprofile(None)
        if event == "call" and file.is_relative_to(SOURCE / "equipoise" / "balancing"):
            entered[str(file.relative_to(SOURCE / "equipoise"))] = None

    sys.setprofile(profile)
    try:
        balancer.backward(losses, features=features, last_layer=trunk)
    finally:
        sys.setprofile(None)
    return list(entered)


def main() -> None:
    """Print the figures."""
    found = modules()
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in found.items()}
    graph = {name: imports(path, found) - {name} for name, path in found.items()}
    users: defaultdict[str, set[str]] = defaultdict(set)
    for name, used in graph.items():
        for one in used:
            users[one].add(name)
    folders: defaultdict[Path, int] = defaultdict(int)
    for path in found.values():
        folders[path.parent] += 1
    longest = max(lengths, key=lambda name: lengths[name])
    fullest = max(folders, key=lambda folder: folders[folder] if folder.name != "methods" else 0)
    print(f"files                     {len(found)}")
    print(f"median length             {statistics.median(lengths.values()):.0f} lines")
    print(f"longest                   {lengths[longest]} lines ({longest})")
    print(f"imported by one other     {sum(len(users[name]) == 1 for name in found)}")
    print(f"fullest folder            {folders[fullest]} files ({fullest.relative_to(SOURCE)}; methods apart)")
    try:
        TopologicalSorter(graph).prepare()
        print("circles                   none")
    except CycleError as error:
        print(f"circles                   {' -> '.join(error.args[1])}")
    path = hops()
    print(f"hops of AvgNorm           {len(path)} files: {', '.join(path)}")


if __name__ == "__main__":
    main()
