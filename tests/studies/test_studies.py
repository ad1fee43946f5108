"""Runs made, and what is said of them."""

import json
import math
import shutil
from pathlib import Path

import polars
import pytest

from equipoise.config import SINGLE
from equipoise.metrics import delta_m
from equipoise.studies import collect, execute, plan, write_parquet, write_results
from equipoise.training import read_result

from .little import recipe, times_of_writing

KEYS = (
    "variant, reference, dataset, architecture, backbone, balancer, tasks, seed, protocol, status, metrics, delta_m, "
    "weights, seconds, directory"
)


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
    rows = collect(planned, tmp_path)
    assert [(row.variant, row.balancer) for row in rows] == [
        (variant, balancer) for variant in ("short", "long", "same") for balancer in (SINGLE, "uniform")
    ]
    single = rows[0].metrics["depth.rmse"]
    assert rows[2].metrics["depth.rmse"] != single
    for row in rows[:4]:
        assert row.delta_m == pytest.approx(100 * (single - row.metrics["depth.rmse"]) / single)


def test_a_study_ends_in_rows_and_is_not_made_twice(rooms, tmp_path):
    planned = plan(recipe(rooms))
    events = []
    execute(planned, tmp_path, watch=events.append)
    assert [event.run.key for event in events if event.ended] == [run.key for run in planned]
    rows = collect(planned, tmp_path)
    write_results(rows, tmp_path / "results.json")
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
    assert read_result(Path(rows[2].directory)).selection == "delta_m"

    write_parquet(rows, tmp_path / "results.parquet")
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
    by_title = {row.balancer: row for row in collect(planned, tmp_path)}
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
    assert {row.status for row in collect(planned, root)} == {"finished"}
    assert before.items() <= times_of_writing(root).items()


def test_without_single_task_results_there_is_no_delta_m(rooms, tmp_path):
    planned = plan(recipe(rooms))
    rows = collect(planned, tmp_path)
    assert {row.status for row in rows} == {"missing"}
    execute(planned[2:3], tmp_path)
    row = collect(planned, tmp_path)[2]
    assert row.status == "finished"
    assert row.delta_m is None
    assert row.selection == "mean relative loss"


def test_delta_m_is_against_the_mean_over_seeds(rooms, tmp_path):
    planned = plan(recipe(rooms, tasks=["depth"], balancers=["uniform"], seeds=[0, 1]))
    execute(planned, tmp_path)
    rows = collect(planned, tmp_path)
    single = [row.metrics["depth.rmse"] for row in rows if row.balancer == SINGLE]
    assert single[0] != single[1]
    for row in rows:
        mean = sum(single) / 2
        assert row.delta_m == pytest.approx(100 * (mean - row.metrics["depth.rmse"]) / mean)


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
    rows = collect(planned, tmp_path)
    assert math.isnan(rows[0].metrics["seg.miou"])
    assert rows[0].delta_m is None
    write_results(rows, tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text())[0]["metrics"] == {"seg.miou": None}
