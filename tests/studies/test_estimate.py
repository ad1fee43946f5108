import subprocess
import sys
from dataclasses import replace

import pytest

from equipoise._core.text import duration
from equipoise.config import Recipe, RunConfig
from equipoise.data import Subset
from equipoise.report.console.dry_run import amount, cost_summary, run_table
from equipoise.studies import PlannedRun, plan, run_key
from equipoise.studies.plan.estimate import cost_class, estimate, measure


def changed(run: PlannedRun, **parts) -> PlannedRun:
    config = run.config.model_copy(update=parts)
    return replace(run, config=config, key=run_key(config, run.needs))


@pytest.fixture
def planned(rooms):
    content = {
        "name": "tiny",
        "data": {"name": "rooms", "root": str(rooms)},
        "tasks": ["seg", "depth"],
        "model": {"backbone": "test_resnet", "decoder": "conv", "output_stride": 8},
        "training": {"epochs": 4, "batch_size": 3, "evaluate_every": 3},
        "balancers": ["uniform", "rlw", "cagrad", "fairgrad", "avgnorm", "url"],
        "seeds": [0, 1],
    }
    return plan(Recipe.model_validate(content))


def test_what_costs_the_same_is_measured_once(planned):
    kinds: dict[str, set[str]] = {}
    for run in planned:
        kinds.setdefault(cost_class(run.config), set()).add(run.title + "".join(run.config.tasks[1:]))
    methods = sorted(sorted(kind) for kind in kinds.values())
    assert methods == [
        ["avgnormdepth"], ["cagraddepth", "fairgraddepth"], ["rlwdepth", "uniformdepth"], ["single"], ["single"],
        ["urldepth"],
    ]  # fmt: skip


def test_the_amount_of_data_costs_nothing_where_epochs_have_a_length(planned):
    def of(subset, **training):
        content = planned[-1].config.model_dump(mode="json")
        content["data"]["subset"] = subset
        return cost_class(RunConfig.model_validate(content | {"training": content["training"] | training}))

    assert of(None, steps_per_epoch=5) == of({"scenes": 1}, steps_per_epoch=5)
    assert of(None) != of({"scenes": 1})


def test_kinds_are_measured_in_processes_of_their_own(planned):
    small = planned[0]
    data = small.config.data.model_copy(update={"subset": Subset(scans=2)})
    large = small.config.training.model_copy(update={"batch_size": 200, "steps_per_epoch": 1})
    runs = [
        changed(small, training=large),
        small,
        changed(small, data=data),
    ]
    told = []
    costs = estimate(runs, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    first, second, third = (costs[run.key] for run in runs)
    assert first.memory > 1.1 * second.memory
    assert (first.steps, second.steps, third.steps) == (1, 2, 1)


def test_imports_use_no_gpu():
    # A process that was forked from one that has used a GPU can use none.
    code = """
import torch
def fail(*arguments):
    raise AssertionError
torch.cuda.is_available = torch.cuda.device_count = torch.cuda._lazy_init = fail
from equipoise import balancing, data, models
import equipoise.studies.plan.estimate
balancing.available(), data.available(), models.available()
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_is_measured(planned):
    run = next(run for run in planned if run.title == "url")
    cost = measure(run.config, threads=1)
    assert min(cost.step, cost.evaluation, cost.test) > 0
    # Adam keeps two numbers a parameter, and the checkpoint the network beside them.
    assert cost.passing > 2.5 * cost.kept > 1e5
    assert cost.memory > 1e7
    # Four epochs, and evaluations after the third and the last.
    expected = 4 * cost.steps * cost.step + 2 * cost.evaluation + cost.test
    assert cost.seconds(run.config) == pytest.approx(expected)


def test_the_outlook_adds_up_what_is_left(planned, tmp_path):
    cost = measure(planned[0].config, threads=1)
    costs = dict.fromkeys((run.key for run in planned), cost)
    one = cost.seconds(planned[0].config)
    lines = cost_summary(planned, tmp_path, costs, len(planned) + 4, jobs=2)
    assert lines[0] == f"{len(planned)} runs are known, 0 of them finished."
    assert lines[1].startswith("4 more follow")
    assert duration(one * len(planned) / 2) in lines[2]
    assert amount(2 * cost.memory) in lines[2]
    assert duration(one * (len(planned) + 4) / 2) in lines[3]
    assert len(cost_summary(planned, tmp_path, {}, len(planned), jobs=1)) == 1
    # One row a network: two single tasks and six methods, whatever the seeds.
    assert run_table(planned, tmp_path, costs).row_count == 8


@pytest.mark.parametrize(("seconds", "text"), [(3, "3 s"), (90, "1.5 min"), (7200, "2.0 h"), (14 * 86400, "14.0 days")])
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text
