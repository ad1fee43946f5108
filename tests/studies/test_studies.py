import json
import math
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import polars
import pytest

from equipoise.config import SINGLE, Recipe
from equipoise.metrics import delta_m
from equipoise.studies import collect, execute, plan, unfinished_runs, write_parquet, write_results
from equipoise.training import Abandoned, read_result
from equipoise.training.logs import read_log

KEYS = (
    "variant, reference, dataset, architecture, backbone, balancer, tasks, seed, protocol, status, metrics, delta_m, "
    "weights, seconds, directory"
)


def recipe(rooms: Path, **changes) -> Recipe:
    content = {
        "name": "tiny",
        "data": {"name": "rooms", "root": str(rooms)},
        "tasks": ["seg", "depth"],
        "model": {"backbone": "test_resnet", "decoder": "conv", "output_stride": 8},
        "training": {"epochs": 1, "batch_size": 3, "learning_rate": 1e-3},
        "balancers": ["uniform", "avgnorm"],
    }
    return Recipe.model_validate(content | changes)


def outcomes(root: Path) -> dict[str, dict]:
    results = {path.name: read_result(path) for path in (root / "runs").iterdir()}
    return {name: result.model_dump(exclude={"seconds"}) for name, result in results.items() if result is not None}


def times_of_writing(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("result.json")}


def test_a_plan_has_single_tasks_first_and_a_run_of_each_method_and_seed(rooms):
    planned = plan(recipe(rooms, seeds=[0, 7]))
    assert [(run.title, run.config.tasks, run.config.seed) for run in planned] == [
        (title, tasks, seed)
        for seed in (0, 7)
        for title, tasks in (
            (SINGLE, ("seg",)),
            (SINGLE, ("depth",)),
            ("uniform", ("seg", "depth")),
            ("avgnorm", ("seg", "depth")),
        )
    ]
    made = set()
    for run in planned:
        assert made.issuperset(run.needs)
        made.add(run.key)
    assert len(made) == len(planned)


def test_every_variant_gets_its_single_tasks_and_methods_and_shares_what_is_the_same(rooms):
    variants = [
        {"label": "plain"},
        {"label": "wide", "model": {"decoder_options": {"width": 8}}, "reference": "plain"},
        {"label": "twin", "balancers": ["cagrad"]},
        {"label": "other", "model": {"decoder": "concat", "output_stride": None}, "training": {"epochs": 2}},
    ]
    planned = plan(recipe(rooms, variants=variants))
    assert [run.variant for run in planned] == ["plain"] * 4 + ["wide"] * 4 + ["twin"] * 3 + ["other"] * 4
    assert [run.reference for run in planned] == ["plain"] * 8 + ["twin"] * 3 + ["other"] * 4
    plain, wide, twin, other = (
        [run for run in planned if run.variant == label] for label in ("plain", "wide", "twin", "other")
    )
    alone = plan(recipe(rooms))
    assert [run.key for run in plain] == [run.key for run in alone]
    assert [run.key for run in twin[:2]] == [run.key for run in alone[:2]]
    assert not {run.key for run in wide} & {run.key for run in plain}
    assert wide[0].config.model.options == {"decoder": "conv", "output_stride": 8, "decoder_options": {"width": 8}}
    assert other[0].config.model.options == {"decoder": "concat", "output_stride": None}
    assert other[0].config.training.epochs == 2
    assert other[0].config.training.learning_rate == 1e-3
    assert wide[3].needs == (wide[0].key, wide[1].key)


def test_a_variant_with_another_architecture_takes_no_options_over(rooms):
    variants = [{"label": "mtan", "model": {"architecture": "mtan"}}]
    config = plan(recipe(rooms, variants=variants))[0].config
    assert config.model.architecture == "mtan"
    assert config.model.backbone == "test_resnet"
    assert config.model.options == {}


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ([{"label": "a"}, {"label": "a"}], "share a label"),
        ([{"label": "a", "reference": "b"}], "reference of variant a"),
        ([{"label": "a", "model": {"decodr": "conv"}}], "variant 'a'.*decodr"),
        ([{"label": "a", "training": {"epochs": 0}}], "variant 'a'.*epochs"),
        ([{"label": "a", "data": {"name": "roms"}}], "variant 'a'.*rooms"),
        ([{"label": "a", "tasks": ["edge"]}], "tasks of variant a.*seg, depth"),
    ],
)
def test_variants_that_cannot_be_are_refused(rooms, variants, message):
    with pytest.raises(ValueError, match=message):
        recipe(rooms, variants=variants)


def test_delta_m_is_against_the_reference(rooms, tmp_path):
    variants = [
        {"label": "short"},
        {"label": "long", "training": {"epochs": 2}, "reference": "short"},
        {"label": "same"},
    ]
    planned = plan(recipe(rooms, tasks=["depth"], balancers=["uniform"], variants=variants))
    events = []
    execute(planned, tmp_path, watch=events.append)
    assert sum(event.ended for event in events) == 4
    records = collect(planned, tmp_path)
    assert [(record.variant, record.balancer) for record in records] == [
        (variant, balancer) for variant in ("short", "long", "same") for balancer in (SINGLE, "uniform")
    ]
    single = records[0].metrics["depth.rmse"]
    assert records[2].metrics["depth.rmse"] != single
    for record in records[:4]:
        assert record.delta_m == pytest.approx(100 * (single - record.metrics["depth.rmse"]) / single)


def grown(study: Recipe, root: Path, jobs: int = 1) -> list:
    execute(plan(study, root), root, jobs=jobs, more=lambda: plan(study, root))
    return plan(study, root)


def test_a_grid_is_tried_on_validation_and_the_best_point_runs_once_a_seed(rooms, tmp_path):
    changes = {
        "grid": {"training.learning_rate": [1e-9, 3e-3]},
        "balancers": ["uniform", {"name": "cagrad", "grid": {"c": [0.2, 0.8]}}],
        "grid_seeds": [0, 5],
        "seeds": [0, 1],
        "protocol": "paper_two",
    }
    study = recipe(rooms, **changes)
    first = plan(study, tmp_path)
    # Nothing is known of the final runs before the trials of the single-task networks have ended.
    assert [(run.title, run.trial) for run in first] == [(SINGLE, True)] * 8
    planned = grown(study, tmp_path)
    trials = [run for run in planned if run.trial and run.title != SINGLE]
    assert len([run for run in trials if run.title == "uniform"]) == 4
    assert len([run for run in trials if run.title == "cagrad"]) == 8
    finals = [run for run in planned if not run.trial]
    assert [(run.title, run.config.tasks, run.config.seed) for run in finals] == [
        *((SINGLE, (task,), seed) for seed in (0, 1) for task in ("seg", "depth")),
        *((title, ("seg", "depth"), seed) for seed in (0, 1) for title in ("uniform", "cagrad")),
    ]
    # A learning rate of almost nothing is the worse one for whatever is learnt in one epoch.
    assert {run.chosen["training.learning_rate"] for run in finals if run.config.tasks == ("depth",)} == {3e-3}
    records = collect(planned, tmp_path)
    assert {record.status for record in records} == {"finished"}
    assert len(records) == 8
    cagrad = [run for run in trials if run.title == "cagrad"]
    single = {key: value for run in first for key, value in [(run.key, read_result(run.directory(tmp_path)))]}
    scores = {}
    for run in cagrad:
        result = read_result(run.directory(tmp_path))
        base = {}
        for key in run.needs:
            base |= (single.get(key) or read_result(tmp_path / "runs" / key)).validation
        keys = {"seg.miou": True, "depth.rmse": False}
        score = delta_m({k: result.validation[k] for k in keys}, {k: base[k] for k in keys}, keys)
        scores.setdefault(json.dumps(run.chosen), []).append(score)
    best = max(scores, key=lambda point: sum(scores[point]))
    assert {json.dumps(run.chosen) for run in finals if run.title == "cagrad"} == {best}
    # A trial and a final run of one seed are one run.
    assert {run.key for run in finals if run.config.seed == 0} <= {run.key for run in planned if run.trial}


def test_weights_are_distilled_from_another_run(rooms, tmp_path):
    study = recipe(rooms, balancers=["avgnorm", {"fixed_from": "avgnorm"}], training={"epochs": 3, "batch_size": 3})
    assert [run.title for run in plan(study, tmp_path)] == [SINGLE, SINGLE, "avgnorm"]
    planned = grown(study, tmp_path, jobs=2)
    assert [run.title for run in planned] == [SINGLE, SINGLE, "avgnorm", "fixed from avgnorm"]
    average = None
    for line in read_log(planned[2].directory(tmp_path)):
        if line["split"] == "train":
            share = line["weight"]["seg"] / sum(line["weight"].values())
            average = share if average is None else 0.9 * average + 0.1 * share
    weights = planned[3].config.balancer.options["weights"]
    assert weights["seg"] == pytest.approx(2 * average)
    assert sum(weights.values()) == pytest.approx(2)
    assert collect(planned, tmp_path)[3].weights == pytest.approx(weights)


def test_a_variant_may_have_fewer_tasks(rooms):
    planned = plan(recipe(rooms, variants=[{"label": "one", "tasks": ["depth"]}, {"label": "two"}]))
    assert [run.config.tasks for run in planned if run.title == "uniform"] == [("depth",), ("seg", "depth")]
    # The single-task networks of what both have are the same.
    assert len({run.key for run in planned if run.title == SINGLE}) == 2


def test_distilled_weights_are_trained_as_what_they_come_from_was(rooms, tmp_path):
    changes = {"balancers": ["avgnorm", {"fixed_from": "avgnorm"}], "grid": {"training.learning_rate": [1e-9, 3e-3]}}
    planned = grown(recipe(rooms, tasks=["depth"], **changes), tmp_path)
    assert {run.title for run in planned if run.trial} == {SINGLE, "avgnorm"}
    source, fixed = planned[-2:]
    assert (source.title, fixed.title) == ("avgnorm", "fixed from avgnorm")
    assert fixed.config.training == source.config.training
    assert fixed.chosen == source.chosen
    assert all(read_result(run.directory(tmp_path)) is not None for run in planned)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": {"seeds": [[0]]}}, "training.learning_rate"),
        ({"grid": {"training.learning_rat": [1]}}, "learning_rat"),
        ({"balancers": [{"name": "cagrad", "grid": {"d": [1]}}]}, "Did you mean|takes the options"),
        ({"balancers": [{"name": "cagrad", "grid": {"c": [-1]}}]}, "c = -1"),
        ({"balancers": [{"fixed_from": "avgnorm"}]}, "fixed_from"),
        ({"balancers": ["graddrop", {"fixed_from": "graddrop"}]}, "with loss weights. Found `fixed_from = 'graddrop'`"),
        ({"balancers": ["avgnorm", {"name": "cagrad", "fixed_from": "avgnorm"}]}, "stands in place"),
    ],
)
def test_grids_that_cannot_be_are_refused(rooms, changes, message):
    with pytest.raises(ValueError, match=message):
        recipe(rooms, **changes)


def test_runs_are_known_by_what_defines_them(rooms):
    def keys(**changes):
        return [run.key for run in plan(recipe(rooms, **changes))]

    plain = {"epochs": 1, "batch_size": 3, "learning_rate": 1e-3}
    original = keys()
    assert keys(name="other", description="text") == original
    assert keys(balancers=[{"name": "uniform", "label": "plain"}, "avgnorm"]) == original
    assert keys(training={**plain, "workers": 2, "accelerator": "cpu"}) == original
    assert keys(balancers=["uniform", {"name": "avgnorm", "ema": 0.5}])[:3] == original[:3]
    assert keys(balancers=["uniform", {"name": "avgnorm", "ema": 0.5}])[3] != original[3]
    for changes in ({"seeds": [1]}, {"protocol": "paper_one"}, {"training": {**plain, "epochs": 2}}):
        assert not set(keys(**changes)) & set(original)


def test_a_study_ends_in_records_and_is_not_made_twice(rooms, tmp_path):
    planned = plan(recipe(rooms))
    events = []
    execute(planned, tmp_path, watch=events.append)
    assert [event.run.key for event in events if event.ended] == [run.key for run in planned]
    records = collect(planned, tmp_path)
    write_results(records, tmp_path / "results.json")
    written = json.loads((tmp_path / "results.json").read_text())
    assert [list(entry) for entry in written] == [KEYS.split(", ")] * 4
    assert {entry["status"] for entry in written} == {"finished"}
    single = written[0]["metrics"] | written[1]["metrics"]
    for entry in written[2:]:
        keys = {"seg.miou": True, "depth.rmse": False}
        expected = delta_m({key: entry["metrics"][key] for key in keys}, {key: single[key] for key in keys}, keys)
        assert entry["delta_m"] == pytest.approx(expected)
        assert set(entry["weights"]) == {"seg", "depth"}
    assert written[2]["weights"] == {"seg": 1.0, "depth": 1.0}
    assert written[3]["weights"] != {"seg": 1.0, "depth": 1.0}
    assert read_result(Path(records[2].directory)).selection == "delta_m"

    write_parquet(records, tmp_path / "results.parquet")
    table = polars.read_parquet(tmp_path / "results.parquet")
    assert table["balancer"].to_list() == [SINGLE, SINGLE, "uniform", "avgnorm"]
    assert table["seg.miou"].to_list() == [written[0]["metrics"]["seg.miou"], None] + [
        entry["metrics"]["seg.miou"] for entry in written[2:]
    ]
    assert table["weight.depth"].to_list()[-2:] == [1.0, written[3]["weights"]["depth"]]

    before = times_of_writing(tmp_path)
    again = []
    execute(planned, tmp_path, watch=again.append)
    assert not again
    assert times_of_writing(tmp_path) == before


def test_a_failed_run_does_not_stop_the_others(rooms, tmp_path):
    # Too large for float32.
    diverging = {"name": "fixed", "label": "diverging", "weights": {"seg": 1e39, "depth": 1e39}}
    planned = plan(recipe(rooms, balancers=[diverging, "uniform"]))
    execute(planned, tmp_path)
    by_title = {record.balancer: record for record in collect(planned, tmp_path)}
    assert by_title["uniform"].status == "finished"
    assert by_title["diverging"].status == "failed"
    assert "NonFiniteError" in by_title["diverging"].error
    assert by_title["diverging"].metrics == {}
    assert by_title["diverging"].delta_m is None
    failure = json.loads((Path(by_title["diverging"].directory) / "failure.json").read_text())
    assert "Traceback" in failure["traceback"]


def test_a_damaged_image_fails_runs_until_it_is_mended(rooms, tmp_path):
    damaged = tmp_path / "rooms"
    shutil.copytree(rooms, damaged)
    depth = next(damaged.glob("*/000_depth.npy"))
    whole = depth.read_bytes()
    depth.write_bytes(whole[:50])
    root = tmp_path / "out"
    planned = plan(recipe(damaged, balancers=["uniform"]))
    execute(planned, root)
    seg, single_depth, multi = collect(planned, root)
    assert (seg.status, single_depth.status, multi.status) == ("finished", "failed", "failed")
    assert str(depth) in multi.error
    depth.write_bytes(whole)
    before = times_of_writing(root)
    execute(planned, root)
    assert {record.status for record in collect(planned, root)} == {"finished"}
    assert before.items() <= times_of_writing(root).items()


def test_without_single_task_results_there_is_no_delta_m(rooms, tmp_path):
    planned = plan(recipe(rooms))
    records = collect(planned, tmp_path)
    assert {record.status for record in records} == {"missing"}
    execute(planned[2:3], tmp_path)
    record = collect(planned, tmp_path)[2]
    assert record.status == "finished"
    assert record.delta_m is None
    assert record.selection == "mean relative loss"


def test_delta_m_is_against_the_mean_over_seeds(rooms, tmp_path):
    planned = plan(recipe(rooms, tasks=["depth"], balancers=["uniform"], seeds=[0, 1]))
    execute(planned, tmp_path)
    records = collect(planned, tmp_path)
    single = [record.metrics["depth.rmse"] for record in records if record.balancer == SINGLE]
    assert single[0] != single[1]
    for record in records:
        mean = sum(single) / 2
        assert record.delta_m == pytest.approx(100 * (mean - record.metrics["depth.rmse"]) / mean)


def test_a_result_that_is_damaged_is_made_anew(rooms, tmp_path):
    planned = plan(recipe(rooms))[:1]
    execute(planned, tmp_path)
    result = planned[0].directory(tmp_path) / "result.json"
    whole = json.loads(result.read_text())
    result.write_text(result.read_text()[:100])
    assert collect(planned, tmp_path)[0].status == "missing"
    execute(planned, tmp_path)
    again = json.loads(result.read_text())
    assert {**again, "seconds": 0} == {**whole, "seconds": 0}


def test_numbers_that_are_not_finite_stay_valid_json(rooms, tmp_path):
    planned = plan(recipe(rooms))[:1]
    execute(planned, tmp_path)
    result = read_result(planned[0].directory(tmp_path))
    result.model_copy(update={"metrics": {"seg.miou": math.nan}}).write(planned[0].directory(tmp_path))
    records = collect(planned, tmp_path)
    assert math.isnan(records[0].metrics["seg.miou"])
    assert records[0].delta_m is None
    write_results(records, tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text())[0]["metrics"] == {"seg.miou": None}


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
    assert {record.selection for record in collect(multi, tmp_path)} == {"mean relative loss"}
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
    assert {record.status for record in others} == {"finished"}
    execute(planned, tmp_path)
    assert {record.status for record in collect(planned, tmp_path)} == {"finished"}


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
