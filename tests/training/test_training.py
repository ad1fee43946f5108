import json
import multiprocessing
import os
import signal
import time

import pytest
import safetensors.torch
import torch

from equipoise import balancing, diagnosis
from equipoise.balancing import Need
from equipoise.config import BalancerConfig, RunConfig
from equipoise.training import Status, train
from equipoise.training.checkpoints import BEST, CHECKPOINT
from equipoise.training.context import forward
from equipoise.training.logs import read_log


def run_config(rooms, **changes) -> RunConfig:
    content = {
        "data": {"name": "rooms", "root": str(rooms)},
        "tasks": ["seg", "depth"],
        "model": {"backbone": "test_resnet", "decoder": "deeplab", "output_stride": 8},
        "training": {
            "epochs": 3,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "augmentation": {"flip": True, "colour": True},
        },
        "balancer": {"name": "avgnorm", "ema": 0.5},
    }
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(content.get(key), dict) else value
    return RunConfig.model_validate(content)


def outcome(directory):
    return safetensors.torch.load_file(directory / BEST), [
        {key: line[key] for key in ("epoch", "split", "loss")} for line in read_log(directory)
    ]


class Stop(Exception):
    pass


def stop_after(batches):
    def watch(status: Status):
        if status.done >= batches:
            raise Stop

    return watch


def test_two_runs_of_one_seed_are_equal_to_the_bit(rooms, tmp_path):
    config = run_config(rooms)
    results = [train(config, tmp_path / name) for name in "ab"]
    (first, log), (second, other_log) = outcome(tmp_path / "a"), outcome(tmp_path / "b")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert log == other_log
    assert results[0].metrics == results[1].metrics
    assert results[0].weights == results[1].weights


def provided(name: str) -> bool:
    """Whether the trainer alone has what a method needs, and the method no option that must be given."""
    method = balancing.all_methods()[name]
    required = any(one.required for one in balancing.hyper_parameters(method).values())
    return not required and Need.TEACHERS not in balancing.create(name).needs


@pytest.mark.slow
@pytest.mark.parametrize("name", filter(provided, balancing.available()))
def test_every_method_trains_and_resumes_to_the_bit(rooms, tmp_path, name):
    settings = run_config(rooms, training={"epochs": 2, "batch_size": 2})
    config = settings.model_copy(update={"balancer": BalancerConfig(name=name)})
    whole = train(config, tmp_path / "whole")
    with pytest.raises(Stop):
        train(config, tmp_path / "stopped", watch=stop_after(5))
    resumed = train(config, tmp_path / "stopped")
    (first, log), (second, other_log) = outcome(tmp_path / "whole"), outcome(tmp_path / "stopped")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert log == other_log
    assert resumed.model_dump(exclude={"seconds"}) == whole.model_dump(exclude={"seconds"})


@pytest.mark.parametrize("batches", [1, 5, 9])
def test_a_stopped_run_ends_as_if_it_had_never_stopped(rooms, tmp_path, batches):
    config = run_config(rooms)
    whole = train(config, tmp_path / "whole")
    with pytest.raises(Stop):
        train(config, tmp_path / "stopped", watch=stop_after(batches))
    resumed = train(config, tmp_path / "stopped")
    (first, log), (second, other_log) = outcome(tmp_path / "whole"), outcome(tmp_path / "stopped")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert log == other_log
    keep = {"seconds"}
    assert resumed.model_dump(exclude=keep) == whole.model_dump(exclude=keep)


def test_a_run_whose_checkpoint_is_damaged_begins_anew(rooms, tmp_path):
    config = run_config(rooms, training={"epochs": 2})
    whole = train(config, tmp_path / "whole")
    with pytest.raises(Stop):
        train(config, tmp_path / "stopped", watch=stop_after(6))
    (tmp_path / "stopped" / CHECKPOINT).write_bytes(b"")
    with pytest.warns(UserWarning, match=r"checkpoint\.pt is damaged.*begins anew"):
        again = train(config, tmp_path / "stopped")
    (first, log), (second, other_log) = outcome(tmp_path / "whole"), outcome(tmp_path / "stopped")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert log == other_log
    assert again.model_dump(exclude={"seconds"}) == whole.model_dump(exclude={"seconds"})


def test_a_finished_run_is_not_made_again(rooms, tmp_path):
    config = run_config(rooms, training={"epochs": 1})
    first = train(config, tmp_path)
    assert not (tmp_path / CHECKPOINT).exists()
    assert train(config, tmp_path, watch=stop_after(0)) == first


def test_statuses_count_to_the_end(rooms, tmp_path):
    seen: list[Status] = []
    train(run_config(rooms, training={"epochs": 2}), tmp_path, watch=seen.append)
    assert [status.reached.epoch for status in seen if status.reached is not None] == [1, 2]
    seen = [status for status in seen if status.reached is None]
    assert [status.done for status in seen] == list(range(len(seen)))
    assert seen[-1].done == seen[-1].total
    assert "testing" in seen[-1].doing


def test_the_checkpoint_is_chosen_on_validation_and_the_test_split_read_once(rooms, tmp_path):
    result = train(run_config(rooms), tmp_path, single={"seg.miou": 10.0, "depth.rmse": 1.0})
    splits = [line["split"] for line in read_log(tmp_path)]
    assert splits.count("val") == 3
    assert "test" not in splits
    assert result.selection == "delta_m"
    measured = {line["epoch"]: line["metric"] for line in read_log(tmp_path) if line["split"] == "val"}
    scores = {epoch: (m["seg.miou"] - 10) / 10 - (m["depth.rmse"] - 1) / 1 for epoch, m in measured.items()}
    assert result.epoch == max(scores, key=scores.__getitem__)
    assert result.validation == measured[result.epoch]


def test_protocol_paper_one_chooses_on_test(rooms, tmp_path):
    result = train(run_config(rooms, protocol="paper_one", training={"epochs": 2}), tmp_path)
    assert {line["split"] for line in read_log(tmp_path)} == {"train", "test"}
    assert result.metrics == result.validation


def test_a_single_task_is_chosen_by_its_own_metric(rooms, tmp_path):
    result = train(run_config(rooms, tasks=["depth"], training={"epochs": 2}), tmp_path)
    assert result.selection == "depth.rmse"
    rmse = {line["epoch"]: line["metric"]["depth.rmse"] for line in read_log(tmp_path) if line["split"] == "val"}
    assert result.epoch == min(rmse, key=rmse.__getitem__)
    assert set(result.parameters) == {"shared", "depth"}


def test_bf16_and_clipping_and_epochwise_schedule_train(rooms, tmp_path):
    settings = {"epochs": 2, "precision": "bf16-mixed", "clip": 1.0, "schedule_every": "epoch", "optimizer": "adamw"}
    result = train(run_config(rooms, training=settings), tmp_path)
    rates = [line["rate"]["learning"] for line in read_log(tmp_path) if line["split"] == "train"]
    assert rates[0] == pytest.approx(1e-3 * 0.5**0.9)
    assert rates[1] == 0.0
    assert all(value == value for value in result.metrics.values())


def test_an_epoch_may_be_a_number_of_steps(rooms, tmp_path):
    # Fewer than a pass over the data, and more.
    for steps in (1, 7):
        result = train(run_config(rooms, training={"steps_per_epoch": steps, "epochs": 2}), tmp_path / str(steps))
        assert result.steps == 2 * steps
        lines = read_log(tmp_path / str(steps))
        assert [line["step"] for line in lines if line["split"] == "val"] == [steps, 2 * steps]


def rates(directory) -> list[float]:
    return [line["rate"]["learning"] for line in read_log(directory) if line["split"] == "train"]


def test_an_exponential_schedule_goes_down_every_epoch(rooms, tmp_path):
    settings = {"schedule": "exponential", "schedule_factor": 0.5, "optimizer": "sgd", "momentum": 0.5}
    train(run_config(rooms, training=settings), tmp_path)
    assert rates(tmp_path) == pytest.approx([1e-3 / 2, 1e-3 / 4, 1e-3 / 8])


def test_a_plateau_schedule_goes_down_where_evaluations_do_not_improve(rooms, tmp_path):
    settings = {"schedule": "plateau", "schedule_factor": 0.1, "schedule_patience": 0, "schedule_floor": 2e-5}
    settings |= {"epochs": 6}
    train(run_config(rooms, tasks=["depth"], training=settings), tmp_path)
    scores = [-line["metric"]["depth.rmse"] for line in read_log(tmp_path) if line["split"] == "val"]
    rate, best, expected = 1e-3, float("-inf"), []
    for score in scores:
        expected.append(rate)
        if score <= best:
            rate = max(0.1 * rate, 2e-5)
        best = max(best, score)
    assert rates(tmp_path) == pytest.approx(expected)


def test_a_schedule_resumes_where_it_was(rooms, tmp_path):
    settings = {"schedule": "plateau", "schedule_factor": 0.1, "schedule_patience": 0, "epochs": 4}
    config = run_config(rooms, tasks=["depth"], training=settings)
    train(config, tmp_path / "whole")
    with pytest.raises(Stop):
        train(config, tmp_path / "stopped", watch=stop_after(9))
    train(config, tmp_path / "stopped")
    assert rates(tmp_path / "stopped") == rates(tmp_path / "whole")


def test_gradients_are_recorded_and_resumed(rooms, tmp_path):
    config = run_config(rooms, training={"probe": {"every": 2}})
    train(config, tmp_path / "whole")
    with pytest.raises(Stop):
        train(config, tmp_path / "stopped", watch=stop_after(7))
    train(config, tmp_path / "stopped")
    whole, stopped = (diagnosis.read(tmp_path / name / "probe.parquet") for name in ("whole", "stopped"))
    assert whole.equals(stopped)
    steps = len([line for line in read_log(tmp_path / "whole") if line["split"] == "train"])
    assert whole["step"].to_list() == list(range(1, read_log(tmp_path / "whole")[-1]["step"] + 1, 2))
    assert steps == 3
    without = run_config(rooms, training={"probe": None})
    assert train(without, tmp_path / "without").metrics == train(config, tmp_path / "whole").metrics
    assert not (tmp_path / "without" / "probe.parquet").exists()


def test_weights_and_losses_are_plain_means_over_steps(rooms, tmp_path):
    config = run_config(rooms, training={"batch_size": 2, "probe": {"every": 1}})
    result = train(config, tmp_path)
    recorded = diagnosis.by_task(diagnosis.read(tmp_path / "probe.parquet"))
    train_lines = [line for line in read_log(tmp_path) if line["split"] == "train"]
    starts = [0, *(line["step"] for line in train_lines)]
    for task in config.tasks:
        of_task = recorded.filter(task=task)
        assert of_task["weight"].n_unique() == starts[-1] > 3
        assert result.weights[task] == pytest.approx(of_task["weight"].mean(), rel=1e-5)
        for line, start in zip(train_lines, starts, strict=False):
            of_epoch = of_task.slice(start, line["step"] - start)
            assert line["weight"][task] == pytest.approx(of_epoch["weight"].mean(), rel=1e-5)
            assert line["loss"][task] == pytest.approx(of_epoch["loss"].mean(), rel=1e-5)


def test_a_method_hears_of_the_end_of_every_epoch(rooms, tmp_path):
    config = run_config(rooms).model_copy(update={"balancer": BalancerConfig(name="dwa")})
    train(config, tmp_path)
    weights = [line["weight"]["seg"] for line in read_log(tmp_path) if line["split"] == "train"]
    # DWA compares the losses of the last two epochs: there are none before the third.
    assert weights[:2] == [1.0, 1.0]
    assert weights[2] != 1.0


def test_a_result_counts_the_skipped_steps(rooms, tmp_path, monkeypatch):
    calls = []

    def broken_once(session, batch):
        found = forward(session, batch)
        calls.append(batch)
        if len(calls) == 2:
            found.losses["seg"] = found.losses["seg"] * float("nan")
        return found

    monkeypatch.setattr("equipoise.training.step.forward", broken_once)
    config = run_config(rooms, training={"probe": {"every": 1}}, balancer={"nonfinite": "skip"})
    result = train(config, tmp_path)
    assert (result.steps, result.skipped_steps) == (3, 1)
    assert diagnosis.read(tmp_path / "probe.parquet")["step"].to_list() == [1, 3]


def test_logs_are_json_lines_and_tensorboard(rooms, tmp_path):
    train(run_config(rooms, training={"epochs": 1}), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["split"] for line in lines] == ["train", "val"]
    assert set(lines[0]["weight"]) == {"seg", "depth"}
    assert list((tmp_path / "tensorboard").iterdir())


def _train_slowly(config, directory):
    train(config, directory, watch=lambda status: time.sleep(0.2))


@pytest.mark.slow
def test_a_killed_process_loses_no_more_than_an_epoch(rooms, tmp_path):
    config = run_config(rooms, training={"epochs": 6})
    process = multiprocessing.get_context("spawn").Process(target=_train_slowly, args=(config, tmp_path / "killed"))
    process.start()
    while not (tmp_path / "killed" / CHECKPOINT).exists():
        assert process.is_alive()
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    resumed = train(config, tmp_path / "killed")
    whole = train(config, tmp_path / "whole")
    assert resumed.model_dump(exclude={"seconds"}) == whole.model_dump(exclude={"seconds"})
