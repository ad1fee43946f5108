"""The key of a run: what changes it, and what does not."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock
from pydantic import create_model

from equipoise import balancing, models
from equipoise._core.options import option_defaults
from equipoise.config import Recipe, RunConfig, TrainingConfig
from equipoise.studies import collect, execute, open_study, plan, prepare_data, run_key, save_recipe, unfinished_runs
from equipoise.studies.plan import keys
from equipoise.studies.run.runner import make_run
from equipoise.training import RunResult

from .little import recipe, times_of_writing

CONTENT = {
    "data": {"name": "rooms"},
    "tasks": ["seg", "depth"],
    "model": {"backbone": "test_resnet"},
    "balancer": "avgnorm",
}


def config(**changes) -> RunConfig:
    content = json.loads(json.dumps(CONTENT))
    for key, value in changes.items():
        content[key] = content[key] | value if isinstance(content.get(key), dict) else value
    return RunConfig.model_validate(content)


def key(**changes) -> str:
    return run_key(config(**changes))


def test_a_key_begins_with_what_people_look_for():
    assert key().startswith("rooms-avgnorm-seg-depth-")


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"probe": None}},
        {"training": {"probe": {"every": 3, "at": "shared", "feature_distance": True}}},
        {"training": {"workers": 3}},
        {"training": {"accelerator": "cpu"}},
        {"data": {"cache": "none"}},
        {"balancer": {"name": "avgnorm", "label": "ours"}},
        {"balancer": {"name": "avgnorm", "grid": {"ema": [0.1, 0.2]}}},
    ],
    ids=str,
)
def test_what_changes_no_number_changes_no_key(changes):
    assert key(**changes) == key()


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"epochs": 7}},
        {"training": {"augmentation": {"flip": False}}},
        {"training": {"clip": 1.0}},
        {"data": {"scenes": 3}},
        {"data": {"corrupt": {}}},
        {"data": {"subset": {"scans": 1}}},
        {"data": {"metrics": "all"}},
        {"model": {"decoder": "conv"}},
        {"model": {"backbone": "test_vit"}},
        {"model": {"pretrained": True}},
        {"balancer": "uniform"},
        {"balancer": {"name": "avgnorm", "ema": 0.3}},
        {"tasks": ["depth", "seg"]},
        {"seed": 1},
        {"protocol": "paper_one"},
    ],
    ids=str,
)
def test_what_changes_a_number_changes_the_key(changes):
    assert key(**changes) != key()


def test_one_scan_is_not_all_scans():
    assert key(data={"subset": {"scans": 1}}) != key(data={"subset": {"scans": 1.0}})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"training": {"schedule_power": 1}}, {"training": {"schedule_power": 1.0}}),
        ({"balancer": {"name": "avgnorm", "ema": 0}}, {"balancer": {"name": "avgnorm", "ema": 0.0}}),
        (
            {"training": {"augmentation": {"size": [32, 32], "scale": [1, 2]}}},
            {"training": {"augmentation": {"size": (32, 32), "scale": (1.0, 2.0)}}},
        ),
    ],
)
def test_spellings_of_a_value_are_one(one, other):
    assert key(**one) == key(**other)


def test_defaults_that_are_written_out_change_no_key():
    plain = config()
    written = RunConfig.model_validate(plain.model_dump(mode="json"))
    assert written.training.model_fields_set > plain.training.model_fields_set
    assert run_key(written) == run_key(plain)


@pytest.mark.parametrize("name", balancing.available())
def test_default_options_of_a_method_change_no_key(name):
    method = balancing.all_methods()[name]
    written = option_defaults(method)
    content = {"weights": {"seg": 1.0, "depth": 2.0}} if name == "fixed" else {}
    assert key(balancer={"name": name, **written, **content}) == key(balancer={"name": name, **content})


@pytest.mark.parametrize("name", [name for name in models.available() if models.default_backbone(name)])
def test_default_options_of_an_architecture_change_no_key(name):
    model = {"architecture": name, "backbone": None}
    assert key(model=model | option_defaults(models.architecture_class(name))) == key(model=model)


def test_a_field_that_is_added_with_a_default_changes_no_key():
    wider = create_model("Wider", __base__=TrainingConfig, warmup=(int, 0))

    def with_training(**changes) -> str:
        training = wider.model_validate(config().training.model_dump() | changes)
        return run_key(config().model_copy(update={"training": training}))

    assert with_training() == key()
    assert with_training(warmup=5) != key()


@pytest.mark.parametrize("version", ["SCHEMA_VERSION", "RESULTS_VERSION"])
def test_a_raised_version_changes_every_key(monkeypatch, version):
    before = run_key(config(), fingerprints=keys.Fingerprints(results_version=keys.RESULTS_VERSION))
    monkeypatch.setattr(keys, version, getattr(keys, version) + 1)
    assert run_key(config(), fingerprints=keys.Fingerprints(results_version=keys.RESULTS_VERSION)) != before


def test_the_runs_that_it_is_compared_with_are_part_of_the_key():
    assert len({run_key(config()), run_key(config(), ["a"]), run_key(config(), ["b"])}) == 3


def test_processes_agree_whatever_their_hash_seed():
    code = (
        "import json, sys; from equipoise.config import RunConfig; from equipoise.studies import run_key;"
        "print(run_key(RunConfig.model_validate(json.loads(sys.argv[1]))))"
    )
    content = json.dumps(CONTENT | {"balancer": {"name": "fixed", "weights": {"seg": 1, "depth": 2}}})
    found = {
        subprocess.run(
            [sys.executable, "-c", code, content],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {run_key(RunConfig.model_validate(json.loads(content)))}


def test_weights_count_by_their_content(tmp_path):
    one, same, other = (tmp_path / name for name in ("one.pth", "same.pth", "other.pth"))
    one.write_bytes(b"weights")
    same.write_bytes(b"weights")
    other.write_bytes(b"others!")
    of = {path: key(model={"pretrained": str(path)}) for path in (one, same, other)}
    assert of[one] == of[same]
    assert len({*of.values(), key(), key(model={"pretrained": True})}) == 4
    one.write_bytes(b"changed")
    assert key(model={"pretrained": str(one)}) != of[same]


def test_imported_modules_count_by_their_text_and_are_copied(rooms, tmp_path):
    def study(folder: str, text: str) -> Recipe:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "own_balancer.py").write_text(text)
        return recipe(rooms, **{"import": [str(tmp_path / folder / "own_balancer.py")]})

    first, moved, edited = study("a", "X = 1\n"), study("b", "X = 1\n"), study("a", "X = 2\n")
    of_first, of_moved, of_edited = ([run.key for run in plan(one)] for one in (first, moved, edited))
    assert of_first == of_moved
    assert not {*of_first} & {*of_edited}
    assert not {*of_first} & {run.key for run in plan(recipe(rooms))}
    save_recipe(first, tmp_path / "out" / "tiny")
    assert (tmp_path / "out" / "tiny" / "imports" / "own_balancer.py").read_text() == "X = 1\n"
    finished(run := plan(first)[0], tmp_path)
    assert make_run(run, tmp_path, lambda status: None) is None
    assert (run.directory(tmp_path) / "imports" / "own_balancer.py").read_text() == "X = 1\n"


def finished(run, root: Path) -> None:
    """Write the result that a run might have."""
    run.directory(root).mkdir(parents=True, exist_ok=True)
    scores = {"seg.miou": 40.0, "depth.rmse": 1.0}
    RunResult(
        config=run.config, metrics=scores, validation=scores, losses={}, weights={}, epoch=1, steps=1, skipped_steps=0,
        parameters={}, seconds=1.0, selection="delta_m", versions={},
    ).write(run.directory(root))  # fmt: skip


def test_moved_data_keep_all_finished_runs_and_changed_data_none(rooms, tmp_path):
    first, second = tmp_path / "data", tmp_path / "elsewhere" / "data"
    shutil.copytree(rooms, first)
    root = tmp_path / "studies"

    def study(place: Path) -> Recipe:
        return recipe(place, tasks=["depth"], balancers=["uniform"])

    save_recipe(study(first), root / "tiny")
    execute(plan(study(first)), root)
    before = times_of_writing(root)
    assert len(before) == 2

    second.parent.mkdir()
    shutil.move(first, second)
    prepare_data(study(second))
    events = []
    execute(plan(study(second), root), root, watch=events.append)
    assert not events
    assert times_of_writing(root) == before
    assert {row.status for row in collect(plan(study(second)), root)} == {"finished"}

    # The study's own directory says which runs it has, though its data are gone.
    assert not first.exists()
    opened = open_study(root / "tiny")
    assert {row.status for row in opened.rows} == {"finished"}
    assert opened.left == 0

    with next(second.glob("*/000_image.png")).open("ab") as image:
        image.write(b"\0")
    prepare_data(study(second))
    changed = plan(study(second), root)
    assert unfinished_runs(changed, root) == changed


def test_without_its_data_a_run_matches_no_finished_one_and_is_not_made(rooms, tmp_path):
    place = tmp_path / "data"
    study = recipe(place, balancers=["uniform"])
    planned = plan(study)
    assert not any(run.is_complete for run in planned)
    for run in planned:
        finished(run, tmp_path)
    assert unfinished_runs(planned, tmp_path) == planned
    assert {row.status for row in collect(planned, tmp_path)} == {"missing"}
    with pytest.raises(ValueError, match=r"data\.root = .*data.*plan again"):
        execute(planned, tmp_path)
    shutil.copytree(rooms, place)
    prepare_data(study)
    assert not {run.key for run in plan(study)} & {run.key for run in planned}
    assert all(run.is_complete for run in plan(study))


def test_missing_weights_leave_a_key_incomplete(tmp_path):
    assert not keys.is_complete(key(model={"pretrained": str(tmp_path / "none.pth")}))


def test_a_run_waits_for_the_process_that_holds_its_lock(rooms, tmp_path):
    run = plan(recipe(rooms))[0]
    finished(run, tmp_path)
    told, waiting = [], threading.Event()

    def watch(status) -> None:
        told.append(status.doing)
        waiting.set()

    thread = threading.Thread(target=make_run, args=(run, tmp_path, watch))
    with FileLock(run.directory(tmp_path) / ".lock"):
        thread.start()
        assert waiting.wait(10)
        assert told == ["waiting for another process that is making it"]
        assert thread.is_alive()
    thread.join(10)
    assert not thread.is_alive()
