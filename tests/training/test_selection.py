import math

import pytest
import safetensors.torch
import torch

from equipoise.config import RunConfig
from equipoise.metrics import delta_m_within_tasks
from equipoise.training import Status, train
from equipoise.training.checkpoints import BEST
from equipoise.training.evaluation import Evaluation
from equipoise.training.logs import read_log
from equipoise.training.selection import FALLBACK, Selection, main_metrics


def run_config(rooms, tasks, **changes) -> RunConfig:
    content = {
        "data": {"name": "rooms", "root": str(rooms), "metrics": "all"},
        "tasks": tasks,
        "model": {"backbone": "test_resnet", "decoder": "conv", "output_stride": 8},
        "training": {"epochs": 3, "batch_size": 4, "learning_rate": 3e-3, "probe": None},
        "balancer": {"name": "uniform"},
    }
    return RunConfig.model_validate(content | changes)


def validated(directory) -> dict[int, dict[str, float]]:
    return {line["epoch"]: line["metric"] for line in read_log(directory) if line["split"] == "val"}


def tasks_of(rooms, *names, **data):
    return RunConfig.model_validate(
        {"data": {"name": "rooms", "root": str(rooms), **data}, "tasks": names, "balancer": {"name": "uniform"}}
    ).data.tasks(names)


def test_the_main_metric_is_compared_or_all_are(rooms):
    assert main_metrics(tasks_of(rooms, "seg", "depth")) == {"seg.miou": True, "depth.rmse": False}
    every = main_metrics(tasks_of(rooms, "seg", "depth", metrics="all"))
    assert list(every)[:4] == ["seg.miou", "seg.pixel_accuracy", "depth.rmse", "depth.abs"]
    assert every["seg.pixel_accuracy"]
    assert not every["depth.abs"]
    assert every["depth.delta1"]


def test_all_metrics_are_averaged_within_tasks(rooms):
    tasks = tasks_of(rooms, "seg", "saliency", metrics="all")
    single = {"seg.miou": 40.0, "seg.pixel_accuracy": 80.0, "saliency.maxf": 50.0, "saliency.mae": 0.2}
    measured = {"seg.miou": 42.0, "seg.pixel_accuracy": 80.0, "saliency.maxf": 50.0, "saliency.mae": 0.1}
    # +5 % and 0 %; 0 % and +50 %.
    assert Selection(tasks, single).score(Evaluation(measured, {})) == pytest.approx((2.5 + 25) / 2)
    # What a further metric is compared with is needed too.
    assert Selection(tasks, single | {"saliency.mae": 0.0}).criterion == FALLBACK
    del single["saliency.mae"]
    assert Selection(tasks, single).criterion == FALLBACK


def test_several_tasks_are_chosen_by_the_delta_m_of_all_metrics(rooms, tmp_path):
    config = run_config(rooms, ["seg", "saliency"])
    single = {"seg.miou": 10.0, "seg.pixel_accuracy": 40.0, "saliency.maxf": 40.0, "saliency.mae": 0.3}
    result = train(config, tmp_path, single=single)
    directions = main_metrics(config.data.tasks(config.tasks))
    scores = {
        epoch: delta_m_within_tasks({key: found[key] for key in directions}, single, directions)
        for epoch, found in validated(tmp_path).items()
    }
    assert result.selection == "delta_m"
    assert result.epoch == max(scores, key=scores.__getitem__)
    assert result.validation == validated(tmp_path)[result.epoch]


def test_without_single_task_networks_losses_are_compared_with_the_first(rooms):
    selection = Selection(tasks_of(rooms, "seg", "depth"), None)
    metrics = {"seg.miou": 10.0, "depth.rmse": 1.0}
    assert selection.score(Evaluation(metrics, {"seg": 8.0, "depth": 0.5})) == pytest.approx(-1)
    assert selection.score(Evaluation(metrics, {"seg": 4.0, "depth": 0.25})) == pytest.approx(-0.5)
    # A loss of another scale does not count more.
    assert selection.score(Evaluation(metrics, {"seg": 8.0, "depth": 0.25})) == pytest.approx(-0.75)
    assert selection.score(Evaluation(metrics, {"seg": math.nan, "depth": 0.25})) == -math.inf


class Stop(Exception):
    pass


def test_every_metric_of_a_single_task_has_its_own_best_epoch(rooms, tmp_path, monkeypatch):
    # The one has its best first, the other last; each then comes from its own network.
    epochs = iter([(30.0, 1.0), (20.0, 2.0), (10.0, 3.0)])
    kept = {}

    def measure(session, tasks, batches, after_batch):
        if batches is session.test.loader:
            state = {name: value.clone() for name, value in session.model.state_dict().items()}
            kept[len(kept)] = state
            return Evaluation({"seg.miou": 100.0 + len(kept), "seg.pixel_accuracy": 200.0 + len(kept)}, {"seg": 1.0})
        miou, accuracy = next(epochs)
        return Evaluation({"seg.miou": miou, "seg.pixel_accuracy": accuracy}, {"seg": 1.0})

    monkeypatch.setattr("equipoise.training.loop.evaluate", measure)
    result = train(run_config(rooms, ["seg"]), tmp_path)
    assert result.selection == "seg.miou, seg.pixel_accuracy"
    assert result.epoch == 1
    assert result.validation == {"seg.miou": 30.0, "seg.pixel_accuracy": 3.0}
    assert len(kept) == 2
    best = safetensors.torch.load_file(tmp_path / BEST)
    (of_miou,) = [number for number, state in kept.items() if all(torch.equal(state[key], best[key]) for key in best)]
    assert result.metrics == {"seg.miou": 101.0 + of_miou, "seg.pixel_accuracy": 201.0 + (1 - of_miou)}
    assert not (tmp_path / "seg.pixel_accuracy").exists()


def test_of_equal_evaluations_the_first_is_the_best(rooms, tmp_path, monkeypatch):
    same = Evaluation({"seg.miou": 30.0, "seg.pixel_accuracy": 3.0}, {"seg": 1.0})
    kept = []
    monkeypatch.setattr("equipoise.training.loop.evaluate", lambda session, *_: same)
    monkeypatch.setattr("equipoise.training.loop.save_weights", lambda directory, *_: kept.append(directory))
    monkeypatch.setattr("equipoise.training.loop.load_weights", lambda *_: None)
    assert train(run_config(rooms, ["seg"]), tmp_path).epoch == 1
    assert kept == [tmp_path, tmp_path / "seg.pixel_accuracy"]


@pytest.mark.parametrize("protocol", ["validation", "paper_one"])
def test_a_stopped_single_task_ends_as_if_it_had_never_stopped(rooms, tmp_path, protocol):
    config = run_config(rooms, ["seg"], protocol=protocol)
    seen: list[Status] = []
    whole = train(config, tmp_path / "whole", watch=seen.append)
    assert seen[-1].done == seen[-1].total
    best = {key: max(found[key] for found in _logged(tmp_path / "whole", protocol)) for key in whole.validation}
    assert whole.validation == best
    if protocol == "paper_one":
        assert whole.metrics == best

    def watch(status: Status) -> None:
        # In the last epoch, and while testing.
        if status.done >= stop:
            raise Stop

    for stop in (seen[-1].total - 4, seen[-1].total):
        with pytest.raises(Stop):
            train(config, tmp_path / f"stopped {stop}", watch=watch)
        resumed = train(config, tmp_path / f"stopped {stop}")
        assert resumed.model_dump(exclude={"seconds"}) == whole.model_dump(exclude={"seconds"})


def _logged(directory, protocol) -> list[dict[str, float]]:
    split = "test" if protocol == "paper_one" else "val"
    return [line["metric"] for line in read_log(directory) if line["split"] == split]


def test_a_metric_that_is_not_finite_is_no_best(rooms):
    selection = Selection(tasks_of(rooms, "seg", metrics="all"), None)
    assert selection.further == ("seg.pixel_accuracy",)
    assert selection.score_by("seg.pixel_accuracy", {"seg.pixel_accuracy": math.nan}) == -math.inf
    assert selection.score_by("seg.pixel_accuracy", {}) == -math.inf
    assert Selection(tasks_of(rooms, "seg"), None).further == ()
    assert Selection(tasks_of(rooms, "seg", "depth", metrics="all"), None).further == ()
