"""The numbers of a tiny run, and all defaults: whoever moves them raises `RESULTS_VERSION`, so that runs are made anew.

`python tests/studies/test_golden_run.py` prints the numbers of the run and writes the defaults beside this file.
"""

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from pydantic import BaseModel

from equipoise import balancing, data, models
from equipoise._core.options import option_defaults
from equipoise.config import RunConfig
from equipoise.data.rooms import generate
from equipoise.studies.plan.keys import RESULTS_VERSION
from equipoise.training import prepare, training_step
from equipoise.training.context import further_batches
from equipoise.training.evaluation import evaluate

MOVED = "numbers moved: raise RESULTS_VERSION in studies/plan/keys.py and renew these"
DEFAULTS = Path(__file__).with_name("defaults.json")

GOLDEN_VERSION = 1
"""The `RESULTS_VERSION` of these numbers."""
GOLDEN: dict[str, dict[str, list[float]]] = {
    "avgnorm": {
        "loss seg": [3.214235285008, 3.08516362911, 2.830537480952, 2.844588691314],
        "loss depth": [2.523988673363, 2.031370701477, 1.785175090018, 2.596433214808],
        "loss normals": [2.051482451477, 1.526106970999, 1.324884288362, 1.292605614459],
        "weight seg": [1.0, 2.368714105252, 2.045026206801, 2.222626427012],
        "weight depth": [1.0, 3.359623883128, 3.202183184249, 2.784893036067],
        "weight normals": [1.0, 1.138285891881, 1.240138543043, 1.214167723802],
        "seg.miou": [0.102653980255],
        "seg.pixel_accuracy": [0.667317688465],
        "depth.rmse": [2.411381006241],
        "depth.abs": [2.327248573303],
        "depth.abs_rel": [1.0],
        "depth.delta1": [0.0],
        "depth.delta2": [0.0],
        "depth.delta3": [0.0],
        "normals.merr": [54.208343505859],
        "normals.median": [59.276500701904],
        "normals.within_11": [7.12890625],
        "normals.within_22": [15.087890625],
        "normals.within_30": [27.34375],
    },
    "cagrad": {
        "loss seg": [3.214235285008, 3.085323987957, 2.839640558848, 2.846314883259],
        "loss depth": [2.523988673363, 2.028786128687, 1.781891274539, 2.591627311235],
        "loss normals": [2.051482451477, 1.527579550861, 1.327886070128, 1.295419318795],
        "weight seg": [0.312871286811, 0.29479681404, 0.287356321839, 0.287356321839],
        "weight depth": [0.874701507623, 0.735698503187, 0.636352564488, 0.66253653758],
        "weight normals": [0.287356321839, 0.287356321839, 0.287356321839, 0.287356321839],
        "seg.miou": [0.088845014572],
        "seg.pixel_accuracy": [0.5859375],
        "depth.rmse": [2.411381006241],
        "depth.abs": [2.327248573303],
        "depth.abs_rel": [1.0],
        "depth.delta1": [0.0],
        "depth.delta2": [0.0],
        "depth.delta3": [0.0],
        "normals.merr": [53.97571182251],
        "normals.median": [58.989498138428],
        "normals.within_11": [7.047525882721],
        "normals.within_22": [15.234375],
        "normals.within_30": [27.490234375],
    },
}


def golden_run(rooms: Path, method: str) -> dict[str, list[float]]:
    """Make four training steps in float64, and evaluate."""
    config = RunConfig.model_validate(
        {
            "data": {"name": "rooms", "root": str(rooms)},
            "tasks": ["seg", "depth", "normals"],
            "model": {"backbone": "test_resnet", "decoder": "conv", "output_stride": 8},
            "training": {
                "epochs": 2, "batch_size": 3, "learning_rate": 1e-3, "clip": 5.0, "accelerator": "cpu", "probe": None,
            },
            "balancer": method,
        }
    )  # fmt: skip
    session = prepare(config)
    session.model.double()
    losses, weights = {task: [] for task in config.tasks}, {task: [] for task in config.tasks}
    further, batches = further_batches(session, 0), session.train_loader.stream([0, 1])
    for _ in range(4):
        balance = training_step(session, in_float64(next(batches)), further)
        for task in config.tasks:
            losses[task].append(float(balance.losses[task]))
            weights[task].append(float(balance.weights[task]))
    split = session.chosen_on
    found = evaluate(session, split.tasks, map(in_float64, split.loader), lambda: None)
    return {
        **{f"loss {task}": values for task, values in losses.items()},
        **{f"weight {task}": values for task, values in weights.items()},
        **{key: [value] for key, value in found.metrics.items()},
    }


def in_float64(batch):
    return {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}


@pytest.mark.parametrize("method", ["avgnorm", "cagrad"])
def test_the_numbers_of_a_run_move_with_the_results_version_alone(rooms, method):
    assert torch.get_num_threads() == 1
    assert RESULTS_VERSION == GOLDEN_VERSION, "renew these numbers: they are of another RESULTS_VERSION"
    found = golden_run(rooms, method)
    assert found.keys() == GOLDEN[method].keys(), MOVED
    for name, numbers in GOLDEN[method].items():
        assert found[name] == pytest.approx(numbers, rel=1e-6), f"{name}: {MOVED}"


def defaults() -> dict[str, object]:
    """Return every default that a key leaves out, by class and option."""
    found = defaults_of_fields("run", RunConfig)
    owners = {
        "dataset": {name: data.dataset_class(name) for name in data.available()},
        "architecture": {name: models.architecture_class(name) for name in models.available()},
        "balancer": dict(balancing.all_methods()),
    }
    for kind, classes in owners.items():
        for name, owner in classes.items():
            found |= {f"{kind} {name}.{option}": value for option, value in option_defaults(owner).items()}
    return json.loads(json.dumps(found, default=as_plain, sort_keys=True))


def defaults_of_fields(section: str, kind: type[BaseModel]) -> dict[str, object]:
    found = {}
    for name, field in kind.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        nested = type(default) if isinstance(default, BaseModel) else field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            found |= defaults_of_fields(f"{section}.{name}", nested)
        elif not field.is_required():
            found[f"{section}.{name}"] = default
    return found


def as_plain(value):
    return dict(value) if isinstance(value, Mapping) else repr(value)


def test_defaults_move_with_the_results_version_alone():
    known = json.loads(DEFAULTS.read_text(encoding="utf-8"))
    assert known["results_version"] == RESULTS_VERSION, "renew defaults.json: it is of another RESULTS_VERSION"
    now = defaults()
    moved = {name: (was, now[name]) for name, was in known["defaults"].items() if name in now and now[name] != was}
    assert not moved, f"a run that leaves these out has the same key as before. {MOVED}"


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        made = generate(Path(folder) / "rooms", scenes=3, scans=6, size=32)
        json.dump({method: golden_run(made, method) for method in ("avgnorm", "cagrad")}, sys.stdout, indent=4)
    content = {"results_version": RESULTS_VERSION, "defaults": defaults()}
    DEFAULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
