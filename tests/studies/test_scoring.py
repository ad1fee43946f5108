"""Scores of runs, on results that are written by hand."""

import math

import pytest

from equipoise.config import SINGLE, Recipe
from equipoise.metrics import delta_m_within_tasks
from equipoise.report import comparison
from equipoise.studies import collect, plan
from equipoise.studies.plan.scoring import loss_score, validation_score
from equipoise.training import RunResult
from equipoise.training.selection import main_metrics

SEG = {"seg.miou": 40.0, "seg.pixel_accuracy": 80.0}
SALIENCY = {"saliency.maxf": 50.0, "saliency.mae": 0.2}
ZERO = {"seg.miou": 0.0, "seg.pixel_accuracy": 80.0}


def recipe(rooms, **changes) -> Recipe:
    content = {
        "name": "tiny",
        "data": {"name": "rooms", "root": str(rooms)},
        "tasks": ["seg", "saliency"],
        "model": {"backbone": "test_resnet"},
        "balancers": [{"name": "cagrad", "grid": {"c": [0.2, 0.8]}}],
    }
    return Recipe.model_validate(content | changes)


def finish(run, root, metrics, losses=None):
    """Write the result that a run might have."""
    RunResult(
        config=run.config,
        metrics=metrics,
        validation=metrics,
        losses=losses or dict.fromkeys(run.config.tasks, 1.0),
        weights={},
        epoch=1,
        steps=1,
        skipped_steps=0,
        parameters={},
        seconds=1.0,
        selection="delta_m",
        versions={},
    ).write(make(run.directory(root)))


def make(directory):
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def finish_singles(planned, root, seg=SEG, saliency=SALIENCY, losses=None):
    for run in planned:
        if run.title == SINGLE:
            finish(run, root, seg if run.config.tasks == ("seg",) else saliency, losses)


def test_a_grid_is_decided_by_delta_m(rooms, tmp_path):
    planned = plan(recipe(rooms), tmp_path)
    finish_singles(planned, tmp_path)
    low, high = (run for run in planned if run.trial)
    finish(low, tmp_path, {**SEG, **SALIENCY, "seg.miou": 42.0}, {"seg": 9.0, "saliency": 9.0})
    finish(high, tmp_path, {**SEG, **SALIENCY}, {"seg": 1.0, "saliency": 1.0})
    assert [run.chosen["c"] for run in plan(recipe(rooms), tmp_path) if run.title == "cagrad" and not run.trial] == [
        0.2
    ]


@pytest.mark.parametrize("seg", [ZERO, {**SEG, "seg.miou": math.nan}])
def test_a_grid_is_decided_by_losses_where_nothing_is_relative_to_a_single_task(rooms, tmp_path, seg):
    planned = plan(recipe(rooms), tmp_path)
    finish_singles(planned, tmp_path, seg, losses={"seg": 1.0, "saliency": 1.0})
    low, high = (run for run in planned if run.trial)
    finish(low, tmp_path, {**SEG, **SALIENCY}, {"seg": 4.0, "saliency": 1.0})
    finish(high, tmp_path, {**SEG, **SALIENCY}, {"seg": 2.0, "saliency": 2.0})
    assert validation_score(low, tmp_path) == -math.inf
    assert loss_score(low, tmp_path) == -2.5
    assert loss_score(high, tmp_path) == -2.0
    grown = plan(recipe(rooms), tmp_path)
    assert [run.chosen["c"] for run in grown if run.title == "cagrad" and not run.trial] == [0.8]
    finish(grown[-1], tmp_path, {**SEG, **SALIENCY})
    assert collect(grown, tmp_path)[-1].delta_m is None


def test_a_grid_of_networks_that_diverged_chooses_none(rooms, tmp_path):
    planned = plan(recipe(rooms), tmp_path)
    finish_singles(planned, tmp_path)
    for run in planned:
        if run.trial:
            finish(run, tmp_path, {**SEG, **SALIENCY, "seg.miou": math.nan}, {"seg": math.nan, "saliency": 1.0})
    assert not [run for run in plan(recipe(rooms), tmp_path) if run.title == "cagrad" and not run.trial]


def test_what_is_not_finished_has_no_score(rooms, tmp_path):
    planned = plan(recipe(rooms), tmp_path)
    trial = planned[-1]
    assert validation_score(trial, tmp_path) is None
    assert loss_score(trial, tmp_path) is None
    finish(trial, tmp_path, {**SEG, **SALIENCY})
    assert validation_score(trial, tmp_path) is None


def test_all_metrics_count_where_they_are_asked_for(rooms, tmp_path):
    study = recipe(rooms, data={"name": "rooms", "root": str(rooms), "metrics": "all"})
    main = plan(recipe(rooms), tmp_path)
    planned = plan(study, tmp_path)
    assert not {run.key for run in planned} & {run.key for run in main}
    finish_singles(planned, tmp_path)
    low, high = (run for run in planned if run.trial)
    # Better by the main metrics alone, and by all of them.
    finish(low, tmp_path, {"seg.miou": 44.0, "seg.pixel_accuracy": 40.0, **SALIENCY})
    better = {"seg.miou": 41.0, "seg.pixel_accuracy": 84.0, **SALIENCY}
    finish(high, tmp_path, better)
    assert validation_score(low, tmp_path) == pytest.approx(-10.0)
    assert validation_score(high, tmp_path) == pytest.approx((2.5 + 5) / 2 / 2)
    grown = plan(study, tmp_path)
    final = grown[-1]
    assert final.chosen == {"c": 0.8}
    finish(final, tmp_path, better)
    rows = collect(grown, tmp_path)
    directions = main_metrics(study.data.tasks(study.tasks))
    assert rows[-1].delta_m == pytest.approx(delta_m_within_tasks(better, SEG | SALIENCY, directions))
    table = comparison(rows, directions)
    assert "seg pixel_accuracy" in [column.title for column in table.columns]
    assert any(
        "Gama & Grassi 2025, section 5: seg miou, pixel_accuracy; saliency maxf, mae" in note for note in table.notes
    )


def test_a_run_may_be_collected_without_those_of_its_reference(rooms, tmp_path):
    variants = [{"label": "plain"}, {"label": "long", "training": {"epochs": 200}, "reference": "plain"}]
    planned = plan(recipe(rooms, balancers=["uniform"], variants=variants), tmp_path)
    long = planned[-1]
    assert long.reference == "plain"
    finish(long, tmp_path, {**SEG, **SALIENCY})
    (row,) = collect([long], tmp_path)
    assert row.metrics == {**SEG, **SALIENCY}
    assert row.delta_m is None


def test_a_reference_of_which_trials_alone_are_known_gives_no_delta_m(rooms, tmp_path):
    variants = [
        {"label": "plain"},
        {"label": "long", "training": {"epochs": 200}, "reference": "plain"},
    ]
    study = recipe(rooms, variants=variants, grid={"training.learning_rate": [0.1, 0.2]}, balancers=["uniform"])
    for run in plan(study, tmp_path):
        if run.variant == "long":
            finish(run, tmp_path, SEG if run.config.tasks == ("seg",) else SALIENCY)
    planned = plan(study, tmp_path)
    assert all(run.trial for run in planned if run.variant == "plain")
    rows = collect(planned, tmp_path)
    assert {(row.variant, row.delta_m) for row in rows} == {("long", None)}
