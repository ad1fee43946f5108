"""Every figure of a study, from the run directories alone."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from equipoise._core.registry import register
from equipoise.config import Recipe
from equipoise.report.figures import (
    DrawnFigure,
    StudyFigure,
    draw_figures,
    is_complete,
    study_figures,
    write_figure,
    write_folder,
)
from equipoise.report.html import write_page
from equipoise.report.predictions import predict_samples
from equipoise.studies import collect, execute, open_study, plan, save_recipe

pytestmark = pytest.mark.slow

OVER_STEPS = {
    "gradient_norms", "cosines_with_update", "update_share", "mean_cosine_of_methods", "pairwise_cosines",
    "pairwise_dots", "gradient_matrix",
}  # fmt: skip
OVER_EPOCHS = {"weights_per_epoch", "weight_error"}


@pytest.fixture(scope="module")
def study(rooms: Path, tmp_path_factory: pytest.TempPathFactory):
    """The records of a finished study of two seeds, and its directory."""
    content = {
        "name": "small",
        "data": {"name": "rooms", "root": str(rooms)},
        "tasks": ["seg", "depth"],
        "model": {"backbone": "test_resnet", "decoder": "conv", "output_stride": 8},
        "training": {
            "epochs": 2,
            "batch_size": 4,
            "steps_per_epoch": 2,
            "learning_rate": 1e-3,
            "probe": {"every": 1, "feature_distance": True},
        },
        "balancers": ["uniform", "rotograd"],
        "seeds": [0, 1],
    }
    root = tmp_path_factory.mktemp("study")
    recipe = Recipe.model_validate(content)
    planned = plan(recipe)
    execute(planned, root)
    save_recipe(recipe, root / recipe.name)
    return collect(planned, root), root


def copied(root: Path, to: Path) -> Path:
    shutil.copytree(root, to, ignore=shutil.ignore_patterns("tensorboard", ".lock"))
    return to


def test_every_figure_that_the_runs_allow(study, tmp_path):
    records, root = study
    drawn = list(draw_figures(records, root, predict_samples(records, root, images=1)))
    names = [one.name for one in drawn]
    expected = OVER_STEPS | OVER_EPOCHS | {"relative_change", "radar", "seeds", "feature_distance", "predictions-1"}
    assert set(names) == expected
    assert len(set(names)) == len(names)
    assert all(one.title and one.caption.endswith(".") for one in drawn)
    for one in drawn:
        write_figure(one.figure, tmp_path / f"{one.name}.png")
    norms = next(one for one in drawn if one.name == "gradient_norms")
    titles = [axes.get_title(loc="left") for axes in norms.figure.axes]
    assert [title for title in titles if title] == ["single", "uniform", "rotograd"]
    assert "Seed 0." in norms.caption
    # Wherever the directories are now.
    moved = copied(root, tmp_path / "moved")
    assert {one.name for one in draw_figures(records, moved)} == set(names) - {"predictions-1"}


def test_variants_have_figures_of_their_own(study):
    records, root = study
    variants = [
        record.model_copy(update={"variant": label, "reference": label})
        for label in ("a/b", "a b")
        for record in records
    ]
    names = [one.name for one in draw_figures(variants, root)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w-]+", name) for name in names)
    # Two labels that differ in signs alone are told apart.
    assert {"update_share-a-b-1", "update_share-a-b-2", "radar", "mean_cosine", "progression"} <= set(names)


def test_a_variant_of_fewer_tasks_has_a_radar_of_its_own(study):
    records, root = study
    both = [record.model_copy(update={"variant": "two tasks", "reference": "two tasks"}) for record in records]
    alone = [
        record.model_copy(update={"variant": "one task", "reference": "one task", "tasks": ("depth",)})
        for record in records
        if "depth" in record.tasks
    ]
    drawn = {one.name: one.figure for one in draw_figures([*both, *alone], root)}
    assert {"radar-two-tasks", "radar-one-task"} <= set(drawn)
    spokes = [len(drawn[name].axes[0].get_xticks()) for name in ("radar-two-tasks", "radar-one-task")]
    assert spokes == [2, 1]


def test_a_radar_names_what_it_compares_with(study):
    records, root = study
    variants = [
        record.model_copy(update={"variant": label, "reference": "plain"})
        for label in ("plain", "large")
        for record in records
    ]
    every = list(draw_figures(variants, root))
    (radar,) = [one.figure for one in every if one.name == "radar"]
    names = [text.get_text().rpartition("  ")[0] or text.get_text() for text in radar.legends[0].get_texts()]
    assert names == [
        "plain, uniform",
        "plain, rotograd",
        "large, uniform",
        "large, rotograd",
        "large, single",
        "plain, single-task",
    ]


def test_what_cannot_be_made_is_left_out(study, tmp_path):
    records, whole = study
    records = [record for record in records if record.seed == 0 and record.balancer in ("single", "uniform")]
    root = copied(whole, tmp_path / "whole")

    def of(record):
        return root / "runs" / Path(record.directory).name

    for record in records:
        (of(record) / "probe.parquet").write_bytes(b"PAR1")
        (of(record) / "feature_distance.parquet").unlink(missing_ok=True)
    assert {one.name for one in draw_figures(records, root)} == OVER_EPOCHS | {"relative_change", "radar"}
    # A run that goes on, and one that failed: what they have logged is drawn, and said to be unfinished.
    missing = [record.model_copy(update={"status": "missing", "metrics": {}, "delta_m": None}) for record in records]
    left = list(draw_figures(missing, root))
    assert {one.name for one in left} == OVER_EPOCHS
    assert all("Unfinished runs, drawn as far as they have logged: uniform." in one.caption for one in left)
    for record in records:
        shutil.rmtree(of(record))
    assert list(draw_figures(missing, root)) == []
    assert list(draw_figures([], root)) == []


def test_predictions_are_those_of_the_best_checkpoints(study, tmp_path):
    records, root = study
    found = predict_samples(records, root, images=3)
    assert found.left_out == {}
    assert len({sample.identifier for sample in found.samples}) == 3
    for sample in found.samples:
        assert list(sample.predictions) == ["single", "uniform", "rotograd"]
        pictures = [sample.image, *sample.labels.values()]
        pictures += [picture for of in sample.predictions.values() for picture in of.values()]
        assert len(pictures) == 1 + 2 + 3 * 2
        assert all(picture.dtype == np.uint8 and picture.shape == (3, 32, 32) for picture in pictures)
    again = predict_samples(records, root, images=3)
    assert all(
        np.array_equal(first.predictions["rotograd"]["depth"], second.predictions["rotograd"]["depth"])
        for first, second in zip(found.samples, again.samples, strict=True)
    )
    few = predict_samples([record for record in records if record.seed == 1], root, images=1).samples
    assert few[0].identifier in {sample.identifier for sample in found.samples}


def test_a_network_that_cannot_be_loaded_is_left_out(study, tmp_path):
    records, whole = study
    root = copied(whole, tmp_path / "whole")
    uniform = next(record for record in records if record.balancer == "uniform")
    directory = root / "runs" / Path(uniform.directory).name
    (directory / "best.safetensors").write_bytes(b"")
    found = predict_samples(records, root, images=1)
    assert list(found.left_out) == [directory.name]
    assert list(found.samples[0].predictions) == ["single", "rotograd"]
    for run in (root / "runs").iterdir():
        content = json.loads((run / "result.json").read_text())
        content["config"]["data"]["root"] = str(tmp_path / "gone")
        (run / "result.json").write_text(json.dumps(content))
    nothing = predict_samples(records, root)
    assert nothing.samples == []
    assert len(nothing.left_out) == 4


def test_a_folder_is_complete_when_every_figure_of_the_same_runs_is_there(study, tmp_path):
    records, _ = study
    drawn = [DrawnFigure(name, name.title(), "What is seen.", Figure()) for name in ("first", "second")]

    def killed():
        yield drawn[0]
        raise KeyboardInterrupt

    folder = tmp_path / "figures"
    assert not is_complete(records, folder)
    with pytest.raises(KeyboardInterrupt):
        write_folder(killed(), records, folder)
    assert not is_complete(records, folder)
    assert write_folder(drawn, records, folder) == 2
    assert is_complete(records, folder)
    assert json.loads((folder / "index.json").read_text())["figures"]["second.png"]["title"] == "Second"
    # A study may be moved; other runs, and a figure that is gone, ask for another drawing.
    assert is_complete([record.model_copy(update={"directory": "elsewhere"}) for record in records], folder)
    assert not is_complete(records[:-1], folder)
    with pytest.raises(KeyboardInterrupt):
        write_folder(killed(), records[:-1], folder)
    assert not is_complete(records[:-1], folder)
    (folder / "first.png").unlink()
    assert not is_complete(records, folder)
    (folder / "index.json").write_text("[")
    assert not is_complete(records, folder)


def test_a_figure_of_ones_own_is_in_the_folder_and_on_the_page(study, tmp_path, monkeypatch):
    rows, root = study
    # What the test registers is forgotten after it.
    assert "radar" in study_figures
    monkeypatch.setattr(study_figures, "_classes", dict(study_figures._classes))

    @register("seconds")
    class Seconds(StudyFigure):
        title = "Time of every run"
        caption = "Seconds, in the order of the table."
        order = 5

        def draw(self, runs):
            figure = Figure()
            figure.subplots().plot([row.seconds for row in runs.rows])
            return figure if runs.rows else None

        def remark(self, runs):
            return f"There are {len(runs.rows)} runs."

    drawn = list(draw_figures(rows, root))
    # The page has figures in the order that their classes ask for.
    assert [one.name for one in drawn[:2]] == ["seconds", "relative_change"]
    assert drawn[0].caption == f"Seconds, in the order of the table. There are {len(rows)} runs."
    write_folder(drawn, rows, tmp_path / "figures")
    assert (tmp_path / "figures" / "seconds.png").exists()
    page = write_page(open_study(root / "small"), tmp_path / "page.html").read_text(encoding="utf-8")
    assert 'id="figure-seconds"' in page
    assert "Time of every run" in page


def test_a_figure_without_a_drawing_is_refused():
    class Empty(StudyFigure):
        title = caption = "Nothing"

    with pytest.raises(ValueError, match="`draw`"):
        register("empty")(Empty)
