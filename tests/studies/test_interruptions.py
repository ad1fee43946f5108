"""Runs side by side, killed, and begun again."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from equipoise.config import SINGLE, Recipe
from equipoise.studies import collect, execute, plan, unfinished_runs
from equipoise.training import Abandoned

from .little import outcomes, recipe, times_of_writing


def _execute(study: Recipe, root: Path, jobs: int) -> None:
    execute(plan(study), root, jobs=jobs)


def _spawn(study: Recipe, root: Path, jobs: int = 1):
    process = multiprocessing.get_context("spawn").Process(target=_execute, args=(study, root, jobs))
    process.start()
    return process


def _wait_for(condition, process) -> None:
    while not condition():
        assert process.is_alive(), "ended too early"
        time.sleep(0.02)


@pytest.mark.slow
def test_jobs_side_by_side_give_the_same_results(rooms, tmp_path):
    # A job loads its data in a process of its own.
    planned = plan(recipe(rooms, training={"epochs": 1, "batch_size": 3, "workers": 1}))
    execute(planned, tmp_path / "one")
    events = []
    execute(planned, tmp_path / "two", jobs=2, watch=events.append)
    assert sorted(event.run.key for event in events if event.ended) == sorted(run.key for run in planned)
    assert outcomes(tmp_path / "one") == outcomes(tmp_path / "two")


@pytest.mark.slow
def test_a_run_that_had_nothing_to_be_compared_with_is_made_again(rooms, tmp_path):
    planned = plan(recipe(rooms))
    multi = [run for run in planned if run.needs]
    execute(multi, tmp_path)
    assert {row.selection for row in collect(multi, tmp_path)} == {"mean relative loss"}
    assert unfinished_runs(planned, tmp_path) == [run for run in planned if not run.needs]
    execute(planned, tmp_path)
    assert unfinished_runs(planned, tmp_path) == []
    execute(planned, tmp_path / "whole")
    assert outcomes(tmp_path) == outcomes(tmp_path / "whole")


@pytest.mark.slow
def test_an_interrupted_run_that_had_nothing_to_be_compared_with_begins_anew(rooms, tmp_path):
    planned = plan(recipe(rooms, balancers=["uniform"], training={"epochs": 3, "batch_size": 3}))
    uniform = planned[-1]

    def stop(event):
        if event.status is not None and event.status.reached is not None:
            raise Abandoned

    execute([uniform], tmp_path, watch=stop)
    assert (uniform.directory(tmp_path) / "checkpoint.pt").exists()
    execute(planned, tmp_path)
    execute(planned, tmp_path / "whole")
    assert outcomes(tmp_path) == outcomes(tmp_path / "whole")


@pytest.mark.slow
def test_a_killed_job_is_a_failed_run_and_the_others_go_on(rooms, tmp_path):
    planned = plan(recipe(rooms, tasks=["depth"], training={"epochs": 30, "batch_size": 3, "evaluate_every": 30}))
    killed = []

    def watch(event):
        if event.run.title == SINGLE and event.status is not None and not killed:
            killed.extend(multiprocessing.active_children())
            assert len(killed) == 1
            os.kill(killed[0].pid, signal.SIGKILL)

    execute(planned, tmp_path, jobs=2, watch=watch)
    single, *others = collect(planned, tmp_path)
    assert single.status == "failed"
    assert "SIGKILL" in single.error
    assert {row.status for row in others} == {"finished"}
    execute(planned, tmp_path)
    assert {row.status for row in collect(planned, tmp_path)} == {"finished"}


@pytest.mark.slow
def test_two_studies_on_one_directory_share_their_runs(rooms, tmp_path):
    study = recipe(rooms, training={"epochs": 3, "batch_size": 3})
    alone = tmp_path / "alone"
    execute(plan(study), alone)
    processes = [_spawn(study, tmp_path / "both") for _ in range(2)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert outcomes(tmp_path / "both") == outcomes(alone)
    for directory in (tmp_path / "both" / "runs").iterdir():
        epochs = [json.loads(line)["epoch"] for line in (directory / "metrics.jsonl").read_text().splitlines()]
        assert epochs == [1, 1, 2, 2, 3, 3]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_study_loses_no_finished_run(rooms, tmp_path, jobs):
    study = recipe(rooms, training={"epochs": 4, "batch_size": 3})
    root = tmp_path / "killed"
    process = _spawn(study, root, jobs)
    _wait_for(lambda: len(times_of_writing(root)) >= 2, process)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    finished = times_of_writing(root)
    execute(plan(study), root)
    assert finished.items() <= times_of_writing(root).items()
    execute(plan(study), tmp_path / "whole")
    assert outcomes(root) == outcomes(tmp_path / "whole")
    assert not list(root.rglob(".partial-*"))
