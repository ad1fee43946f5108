"""Training on other inputs than photographs with dense labels: digits, molecules, a folder of the user's images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from equipoise import data
from equipoise.config import ConfigError, RunConfig, parse
from equipoise.training import train
from equipoise.training.logs import read_log

NO_FLIP = {"flip": False}


def training_losses(directory: Path, task: str) -> list[float]:
    return [line["loss"][task] for line in read_log(directory) if line["split"] == "train"]


def digits_config(root: Path, balancer: str, tasks: tuple[str, ...] = ("CL", "RR")) -> RunConfig:
    return RunConfig.model_validate(
        {
            "data": {"name": "multimnist", "root": str(root), "only_test_files": True},
            "tasks": tasks,
            "model": {"architecture": "lenet"},
            "training": {"epochs": 2, "batch_size": 64, "learning_rate": 2.5e-3, "augmentation": NO_FLIP},
            "balancer": balancer,
        }
    )


@pytest.mark.slow
@pytest.mark.parametrize("balancer", ["uniform", "avgnorm", "mgda"])
def test_digits_are_told_and_drawn(shared_data: Path, tmp_path: Path, balancer: str) -> None:
    result = train(digits_config(shared_data / "data" / "mnist", balancer), tmp_path)
    # Guessing is right in a tenth of all cases; the best constant image has an error of about 1.
    assert result.metrics["CL.accuracy"] > 50
    assert result.metrics["RR.mse"] < 0.9
    assert result.parameters == {"shared": 21_330, "CL": 3_060, "RR": 214_544}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["mmoe", "ple"])
def test_experts_tell_digits(shared_data: Path, tmp_path: Path, architecture: str) -> None:
    config = digits_config(shared_data / "data" / "mnist", "avgnorm", ("CL", "CR")).model_dump()
    config["model"] = {"architecture": architecture, "inputs": 28 * 28}
    result = train(RunConfig.model_validate(config), tmp_path)
    assert min(result.metrics["CL.accuracy"], result.metrics["CR.accuracy"]) > 40


@pytest.mark.slow
def test_molecules_are_learnt(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch_geometric")
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path / "cache"))
    config = RunConfig.model_validate(
        {
            "data": {"name": "qm9", "root": str(shared_data / "data" / "qm9")},
            "tasks": ["alpha", "r2", "U0"],
            "model": {"architecture": "mpnn", "width": 32, "edge_width": 32},
            "training": {"epochs": 2, "batch_size": 60, "learning_rate": 3e-3, "augmentation": NO_FLIP},
            "balancer": "avgnorm",
        }
    )
    result = train(config, tmp_path / "run")
    held_out = data.create("qm9", root=shared_data / "data" / "qm9", split="test", tasks=config.tasks)
    for name, task in held_out.active_tasks.items():
        # What it costs to predict zero, the mean of all molecules, in the unit of the metric.
        metric = task.metrics()["mae"]
        targets = torch.stack([sample[name] for sample in held_out])
        metric.update(torch.zeros_like(targets), targets)
        assert result.metrics[f"{name}.mae"] < 0.9 * metric.compute().item(), name


def test_a_folder_of_images_with_labels_of_two_sorts(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = ['image,"bright: {kind: classification, classes: [dark, light]}","mask: {kind: edges}"']
    for number in range(24):
        light = number % 2
        image = generator.integers(128 * light, 128 + 127 * light, (20 + number % 3, 24, 3), np.uint8)
        Image.fromarray(image).save(tmp_path / f"{number}.png")
        Image.fromarray((image[..., 0] > 100).astype(np.uint8) * 255).save(tmp_path / f"{number}_mask.png")
        # Every third image lacks one label.
        rows.append(f"{number}.png,{'light' if light else 'dark'},{'' if number % 3 == 0 else f'{number}_mask.png'}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    config = RunConfig.model_validate(
        {
            "data": {"name": "folder", "root": str(tmp_path), "size": [32, 32]},
            "tasks": ["bright", "mask"],
            "model": {"backbone": "test_resnet", "decoder": "conv"},
            "training": {"epochs": 6, "batch_size": 4, "learning_rate": 3e-3},
            "balancer": "avgnorm",
        }
    )
    result = train(config, tmp_path / "run")
    assert set(result.metrics) >= {"bright.accuracy", "mask.odsf"}
    first, *_, last = training_losses(tmp_path / "run", "bright")
    assert last < first
    assert result.weights.keys() == {"bright", "mask"}


def test_digits_are_not_mirrored(tmp_path: Path) -> None:
    content = {
        "data": {"name": "multimnist", "root": str(tmp_path)},
        "tasks": ["CL"],
        "model": {"architecture": "lenet"},
        "balancer": "uniform",
    }
    with pytest.raises(ConfigError, match=r"no sense for `multimnist`: set `training.augmentation.flip: false`"):
        parse(content, RunConfig, "recipe")
    torch.testing.assert_close(
        parse({**content, "training": {"augmentation": NO_FLIP}}, RunConfig, "recipe").training.augmentation.flip, False
    )
