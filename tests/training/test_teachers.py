"""Balancers that need single-task networks, or are a part of the network, in the trainer and in studies."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from equipoise.config import Recipe, RunConfig
from equipoise.studies import execute, plan
from equipoise.training import Status, prepare, read_result, train
from equipoise.training.checkpoints import BEST, BEST_BALANCER
from equipoise.training.context import load_teachers
from equipoise.training.evaluation import evaluate


def content(rooms: Path) -> dict:
    return {
        "data": {"name": "rooms", "root": str(rooms)},
        "tasks": ["seg", "depth"],
        "model": {"backbone": "test_resnet", "decoder": "conv", "output_stride": 8},
        "training": {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3},
    }


class Stop(Exception):
    pass


def test_a_study_gives_single_task_networks_to_a_method_that_asks(rooms, tmp_path):
    recipe = Recipe.model_validate({**content(rooms), "name": "taught", "balancers": ["url"]})
    planned = plan(recipe)
    execute(planned, tmp_path)
    run = planned[-1]
    result = read_result(run.directory(tmp_path))
    assert result is not None
    assert result.weights == {}
    directories = {p.config.tasks[0]: p.directory(tmp_path) for p in planned[:-1]}
    teachers = load_teachers(directories, {"seg": None, "depth": None}, torch.device("cpu"))
    for task, teacher in teachers.items():
        assert not teacher.training
        assert not any(parameter.requires_grad for parameter in teacher.parameters())
        stored = safetensors.torch.load_file(directories[task] / BEST)
        assert all(torch.equal(stored[name], value) for name, value in teacher.state_dict().items())
    # They are no part of what is saved, and a run that is stopped goes on with them.
    assert set(safetensors.torch.load_file(run.directory(tmp_path) / BEST)) == set(
        prepare(run.config).model.state_dict()
    )

    def stop(status: Status) -> None:
        if status.done >= 5:
            raise Stop

    with pytest.raises(Stop):
        train(run.config, tmp_path / "stopped", teachers=directories, watch=stop)
    resumed = train(run.config, tmp_path / "stopped", teachers=directories)
    whole = train(run.config, tmp_path / "whole", teachers=directories)
    assert resumed.metrics == whole.metrics


def test_without_single_task_networks_the_method_says_what_to_do(rooms, tmp_path):
    config = RunConfig.model_validate({**content(rooms), "balancer": "url"})
    with pytest.raises(ValueError, match=r"`teachers`.*`seg`.*equipoise bench"):
        train(config, tmp_path / "run")


def test_rotations_are_tested_as_they_were_at_the_best_evaluation(rooms, tmp_path):
    balancer = {"name": "rotograd", "learning_rate": 0.05}
    config = RunConfig.model_validate({**content(rooms), "balancer": balancer})
    result = train(config, tmp_path / "run")
    session = prepare(config)
    session.model.load_state_dict(safetensors.torch.load_file(tmp_path / "run" / BEST))

    def measure() -> dict[str, float]:
        return evaluate(session, session.test.tasks, session.test.loader, lambda: None).metrics

    plain = measure()
    session.balancer.load_state_dict(torch.load(tmp_path / "run" / BEST_BALANCER, weights_only=True))
    assert measure() == pytest.approx(result.metrics)
    assert plain != pytest.approx(result.metrics)
