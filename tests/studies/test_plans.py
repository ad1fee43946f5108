"""Which runs a recipe asks for, what they need of each other, and by what they are known."""

import json
from pathlib import Path

import pytest

from equipoise.config import SINGLE, Recipe
from equipoise.metrics import delta_m
from equipoise.studies import collect, execute, plan
from equipoise.training import read_result
from equipoise.training.logs import read_log

from .little import recipe


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
    rows = collect(planned, tmp_path)
    assert {row.status for row in rows} == {"finished"}
    assert len(rows) == 8
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
