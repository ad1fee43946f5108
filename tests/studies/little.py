"""A study that is made within seconds."""

from pathlib import Path

from equipoise.config import Recipe
from equipoise.training import read_result


def recipe(rooms: Path, **changes) -> Recipe:
    content = {
        "name": "tiny",
        "data": {"name": "rooms", "root": str(rooms)},
        "tasks": ["seg", "depth"],
        "model": {"backbone": "test_resnet", "decoder": "conv", "output_stride": 8},
        "training": {"epochs": 1, "batch_size": 3, "learning_rate": 1e-3},
        "balancers": ["uniform", "avgnorm"],
    }
    return Recipe.model_validate(content | changes)


def outcomes(root: Path) -> dict[str, dict]:
    results = {path.name: read_result(path) for path in (root / "runs").iterdir()}
    return {name: result.model_dump(exclude={"seconds"}) for name, result in results.items() if result is not None}


def times_of_writing(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("result.json")}
