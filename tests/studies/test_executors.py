import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from equipoise._core import errors
from equipoise.config import SINGLE, Recipe
from equipoise.studies import Event, PlannedRun, execute, plan
from equipoise.studies.run import executors
from equipoise.studies.run.executors import Executor
from equipoise.studies.run.remote import ProgressReader, ProgressWriter, work
from equipoise.training import Abandoned, EpochEnd, Status, read_result

LONG = 30
"""Epochs of runs that are interrupted: far more than they make before word of their first one comes."""


def recipe(rooms: Path, *, epochs: int = 4, **changes) -> Recipe:
    content = {
        "name": "tiny",
        "data": {"name": "rooms", "root": str(rooms)},
        "tasks": ["depth"],
        "model": {"backbone": "test_resnet", "decoder": "conv", "output_stride": 8},
        "training": {"epochs": epochs, "batch_size": 3, "learning_rate": 1e-3},
        "balancers": ["uniform"],
    }
    return Recipe.model_validate(content | changes)


def outcomes(root: Path) -> dict[str, dict]:
    results = {path.name: read_result(path) for path in (root / "runs").iterdir()}
    return {name: result.model_dump(exclude={"seconds"}) for name, result in results.items() if result is not None}


def twice(epochs: int) -> list[int]:
    """The lines of a run that made each epoch once: one line of training, one of validation."""
    return [epoch for epoch in range(1, epochs + 1) for _ in range(2)]


def epochs(run: PlannedRun, root: Path) -> list[int]:
    return [json.loads(line)["epoch"] for line in (run.directory(root) / "metrics.jsonl").read_text().splitlines()]


def workers(command: str) -> set[int]:
    """The processes below this one that were started with a command."""
    parents, found = {}, set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            # What follows the name, which is in brackets and may hold anything.
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if command in (path / "cmdline").read_text().replace("\0", " "):
                found.add(int(path.name))
        except OSError:
            continue

    def below(process: int) -> bool:
        return process == os.getpid() or (process in parents and below(parents[process]))

    return {process for process in found if below(process)}


@pytest.fixture(scope="module")
def ray() -> Iterator[Callable[..., Executor]]:
    """Makes executors on a Ray cluster of two cores, which the first one starts."""
    module = pytest.importorskip("ray", reason="needs the extra `ray`")
    yield lambda **options: executors.create("ray", cpus=1, **options)
    module.shutdown()


@pytest.fixture
def slurm() -> Callable[..., Executor]:
    """Makes executors that submit as to Slurm, to processes of this machine."""
    pytest.importorskip("submitit", reason="needs the extra `slurm`")
    return lambda **options: executors.create("slurm", cluster="local", cpus=1, gpus=0, **options)


@pytest.fixture(params=[("ray", "ray::single"), ("slurm", "submitit.core._submit")], ids=["ray", "slurm"])
def remote(request) -> tuple[Executor, str]:
    """An executor, and what the commands contain of the processes in which it makes single-task networks."""
    name, command = request.param
    return request.getfixturevalue(name)(), command


def test_options_are_converted_and_wrong_ones_refused():
    pytest.importorskip("ray", reason="needs the extra `ray`")
    executors.create("ray", cpus="2", gpus="0.5", address="here:6379")
    for name, options, message in (
        ("rai", {}, "Did you mean `ray`"),
        ("local", {"cpus": 2}, "executor `local` takes no options. Found `cpus = 2`"),
        ("ray", {"cpu": 2}, "Did you mean `cpus`"),
        ("ray", {"cpus": "many"}, "valid integer.* Found `cpus = 'many'`"),
        ("ray", {"cpus": 0}, "`cpus` should be at least 1. Found `cpus = 0`"),
        ("ray", {"retries": -1}, "`retries` should be at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            executors.create(name, **options)


def test_wrong_options_of_slurm_are_refused(tmp_path):
    pytest.importorskip("submitit", reason="needs the extra `slurm`")
    for options, message in (
        ({"minutes": 0}, "`minutes` should be at least 1"),
        ({"memory": -1}, "`memory` should be positive"),
        ({"cluster": "grid"}, "'slurm' or 'local'. Found `cluster = 'grid'`"),
    ):
        with pytest.raises(ValueError, match=message):
            executors.create("slurm", **options)


@pytest.mark.parametrize(("name", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    errors.import_extra.cache_clear()
    with pytest.raises(ValueError, match=rf"`{name}` needs the package `{package}`.*pip install 'equipoise\[{name}\]'"):
        executors.create(name)


def test_progress_arrives_whole_and_in_order(tmp_path):
    reader = ProgressReader(tmp_path / "progress.jsonl")
    report = ProgressWriter(reader.path)
    assert not reader.read()
    first = Status(0, 8, "starting")
    ends = [Status(4, 8, "epoch 1", EpochEnd(1, 0.1 + 0.2, -math.inf)), Status(8, 8, "epoch 2", EpochEnd(2, 1.0, None))]
    for status in (first, Status(1, 8, "soon after"), ends[0]):
        report(status)
    with reader.path.open("a") as file:
        file.write('{"done": 5, ')
    assert reader.read() == [first, ends[0]]
    with reader.path.open("a") as file:
        file.write('"total": 8, "doing": "cut", "reached": null}\n')
    report(ends[1])
    assert reader.read() == [Status(5, 8, "cut"), ends[1]]
    reader.close()
    with pytest.raises(Abandoned):
        report(ends[1])
    assert not reader.path.exists()


def test_a_worker_that_sees_another_directory_says_so(rooms, tmp_path):
    run = plan(recipe(rooms))[0]
    with pytest.raises(FileNotFoundError, match="storage that all machines share"):
        work(run, tmp_path, tmp_path / "progress.jsonl", 1)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_killed_worker_of_ray_is_replaced_and_the_results_are_those_of_the_local_executor(rooms, tmp_path, ray):
    planned = plan(recipe(rooms, tasks=["seg", "depth"], epochs=LONG))
    execute(planned, tmp_path / "local")
    events, killed = [], set()

    def watch(event: Event) -> None:
        events.append(event)
        # The two single-task networks run side by side.
        if not killed and event.status is not None and event.status.reached is not None:
            killed.update(workers("ray::single"))
            for process in killed:
                os.kill(process, signal.SIGKILL)

    root = tmp_path / "ray"
    execute(planned, root, jobs=2, watch=watch, executor=ray())
    assert killed
    assert outcomes(root) == outcomes(tmp_path / "local")
    assert all(epochs(run, root) == twice(LONG) for run in planned)
    ends = [event for event in events if event.ended]
    assert {event.error for event in ends} == {None}
    assert sorted(event.run.key for event in ends) == sorted(run.key for run in planned)
    # What a run needs has ended before it begins.
    uniform = planned[-1]
    began = next(number for number, event in enumerate(events) if event.run == uniform)
    assert all(events.index(end) < began for end in ends if end.run != uniform)
    for run in planned:
        seen = [
            event.status.reached.epoch for event in events if event.run == run and event.status and event.status.reached
        ]
        assert seen == list(range(1, LONG + 1))
    assert not list(root.glob(".progress-*"))


@pytest.mark.slow
def test_a_worker_that_may_not_be_replaced_is_a_failed_run(rooms, tmp_path, ray):
    planned = plan(recipe(rooms, epochs=LONG))
    ends = {}

    def watch(event: Event) -> None:
        if event.ended:
            ends[event.run.title] = event.error
        elif event.run.title == SINGLE and event.status.reached is not None:
            for process in workers("ray::single"):
                os.kill(process, signal.SIGKILL)

    execute(planned, tmp_path, watch=watch, executor=ray(retries=0))
    assert ends["uniform"] is None
    assert "its worker was lost" in ends[SINGLE]
    assert json.loads((planned[0].directory(tmp_path) / "failure.json").read_text()) == {"error": ends[SINGLE]}


@pytest.mark.slow
def test_a_preempted_job_of_slurm_is_queued_again_and_goes_on(rooms, tmp_path, slurm):
    planned = plan(recipe(rooms, epochs=LONG))
    execute(planned, tmp_path / "local")
    preempted = set()

    def watch(event: Event) -> None:
        if not preempted and event.status is not None and event.status.reached is not None:
            preempted.update(workers("submitit.core._submit"))
            for process in preempted:
                os.kill(process, signal.SIGUSR2)

    root = tmp_path / "slurm"
    execute(planned, root, watch=watch, executor=slurm())
    assert len(preempted) == 1
    assert outcomes(root) == outcomes(tmp_path / "local")
    assert all(epochs(run, root) == twice(LONG) for run in planned)
    logs = "".join(path.read_text() for path in (root / "slurm").glob("*_log.err"))
    assert "preempted" in logs


@pytest.mark.slow
def test_a_run_can_be_abandoned_and_one_can_fail_anywhere(rooms, tmp_path, remote):
    executor, _ = remote
    diverging = {"name": "fixed", "label": "diverging", "weights": {"depth": 1e39}}
    planned = plan(recipe(rooms, balancers=[diverging], epochs=LONG))
    ends = []

    def watch(event: Event) -> None:
        if event.ended:
            ends.append(event)
        elif event.run.title == SINGLE and event.status.reached is not None:
            raise Abandoned

    execute(planned, tmp_path, watch=watch, executor=executor)
    single, multi = ends
    assert single.abandoned
    assert single.error is None
    assert "NonFiniteError" in multi.error
    directory = planned[0].directory(tmp_path)
    assert (directory / "checkpoint.pt").exists()
    assert not (directory / "result.json").exists()
    assert not (directory / "failure.json").exists()
    assert "Traceback" in json.loads((planned[1].directory(tmp_path) / "failure.json").read_text())["traceback"]


@pytest.mark.slow
def test_an_interrupted_study_leaves_nothing_running(rooms, tmp_path, remote):
    executor, command = remote
    planned = plan(recipe(rooms, epochs=LONG))

    def watch(event: Event) -> None:
        if event.status is not None and event.status.reached is not None:
            assert workers(command)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(planned, tmp_path, watch=watch, executor=executor)
    until = time.monotonic() + 20
    while running := workers(command):
        assert time.monotonic() < until, running
        time.sleep(0.1)
    assert not list(tmp_path.glob(".progress-*"))
    assert not list(tmp_path.rglob("failure.json"))


@pytest.mark.slow
def test_two_commands_with_two_executors_share_the_runs_of_a_directory(rooms, tmp_path, slurm):
    study = recipe(rooms, tasks=["seg", "depth"])
    execute(plan(study), tmp_path / "alone")
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(study.model_dump(mode="json", exclude_unset=True)))
    root = tmp_path / "both"
    of_slurm = ["--executor", "slurm", "--option", "cluster=local", "--option", "cpus=1", "--option", "gpus=0"]
    command = [sys.executable, "-m", "equipoise.cli", "bench", path, "-o", root, "--jobs", "2"]
    commands = [subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL) for options in ([], of_slurm)]
    assert [command.wait() for command in commands] == [0, 0]
    assert outcomes(root) == outcomes(tmp_path / "alone")
    assert all(epochs(run, root) == twice(4) for run in plan(study))
    assert {entry["status"] for entry in json.loads((root / "tiny" / "results.json").read_text())} == {"finished"}
