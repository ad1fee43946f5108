"""The distance of features to those of single-task networks, in the trainer and in studies."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from equipoise.config import Recipe
from equipoise.diagnosis import FeatureDistance, read, read_distances
from equipoise.studies import execute, plan
from equipoise.studies.plan.estimate import measure
from equipoise.training import Status, train
from equipoise.training.checkpoints import BEST
from equipoise.training.session import DISTANCES, PROBE


class Stop(Exception):
    pass


def recipe(rooms: Path, *balancers: str, **probe: object) -> Recipe:
    content = {
        "name": "near",
        "data": {"name": "rooms", "root": str(rooms)},
        "tasks": ["seg", "depth"],
        "model": {"backbone": "test_resnet", "decoder": "conv", "output_stride": 8},
        "training": {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "probe": {"every": 2, **probe}},
        "balancers": balancers,
    }
    return Recipe.model_validate(content)


def stop(status: Status) -> None:
    if "epoch 2" in status.doing and "evaluating" not in status.doing:
        raise Stop


@pytest.mark.slow
def test_a_study_records_it_and_trains_the_same(rooms, tmp_path):
    plain = plan(recipe(rooms, "pcgrad"))
    execute(plain, tmp_path / "plain")
    planned = plan(recipe(rooms, "pcgrad", feature_distance=True))
    assert [run.key for run in planned] == [run.key for run in plain]
    execute(planned, tmp_path)
    *singles, multi = (run.directory(tmp_path) for run in planned)
    assert not any((single / DISTANCES).exists() for single in singles)
    found = read_distances(multi / DISTANCES)
    steps = found["step"].unique().to_list()
    assert steps == list(range(1, max(steps) + 1, 2))
    assert found["task"].to_list() == ["seg", "depth"] * len(steps)
    assert found["distance"].is_between(0, 4).all()
    with_it = safetensors.torch.load_file(multi / BEST)
    without = safetensors.torch.load_file(plain[-1].directory(tmp_path / "plain") / BEST)
    assert all(torch.equal(with_it[name], value) for name, value in without.items())

    teachers = {run.config.tasks[0]: run.directory(tmp_path) for run in planned[:-1]}
    with pytest.raises(Stop):
        train(planned[-1].config, tmp_path / "stopped", teachers=teachers, watch=stop)
    train(planned[-1].config, tmp_path / "stopped", teachers=teachers)
    assert read_distances(tmp_path / "stopped" / DISTANCES).equals(found)


def test_tasks_without_a_network_of_their_own_are_left_out(rooms, tmp_path):
    planned = plan(recipe(rooms, "uniform", feature_distance=True))
    config = planned[-1].config
    config = config.model_copy(update={"training": config.training.model_copy(update={"epochs": 1})})
    execute(planned[:1], tmp_path)
    with pytest.warns(UserWarning, match=r"`feature_distance`.*none of depth.*equipoise bench"):
        train(config, tmp_path / "run", teachers={"seg": planned[0].directory(tmp_path)})
    assert read_distances(tmp_path / "run" / DISTANCES)["task"].unique().to_list() == ["seg"]


def test_damaged_records_end_no_training(rooms, tmp_path):
    planned = plan(recipe(rooms, "uniform", feature_distance=True, every=1))
    execute(planned[:2], tmp_path)
    teachers = {run.config.tasks[0]: run.directory(tmp_path) for run in planned[:2]}
    config, directory = planned[-1].config, tmp_path / "run"
    with pytest.raises(Stop):
        train(config, directory, teachers=teachers, watch=stop)
    reached = read(directory / PROBE)["step"].max()
    for name in (PROBE, DISTANCES):
        (directory / name).write_bytes(b"")
    with pytest.warns(UserWarning, match="continues without its earlier records") as caught:
        train(config, directory, teachers=teachers)
    assert len(caught) == 2
    for recorded in (read(directory / PROBE), read_distances(directory / DISTANCES)):
        assert recorded["step"].min() == reached + 1


def test_the_estimate_of_a_study_makes_it_too(rooms, monkeypatch):
    seen = []

    def observe(self, features, own):
        seen.append({task: tuple(target.shape[:1]) for task, target in own().items()})

    monkeypatch.setattr(FeatureDistance, "observe", observe)
    config = plan(recipe(rooms, "uniform", feature_distance=True))[-1].config
    measure(config, threads=1)
    assert seen
    assert all(one == {"seg": (4,), "depth": (4,)} for one in seen)
