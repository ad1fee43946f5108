"""The laboratory from Python."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from equipoise import lab
from equipoise.training.checkpoints import load_network

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recipe(rooms) -> dict:
    return {
        "name": "tiny",
        "data": {"name": "rooms", "root": str(rooms)},
        "tasks": ["seg", "depth"],
        "model": {"backbone": "test_resnet", "decoder": "conv", "output_stride": 8},
        "training": {"epochs": 1, "batch_size": 3, "learning_rate": 1e-3, "probe": {"every": 1}},
        "balancers": ["uniform", "avgnorm"],
        "seeds": [0, 1],
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def study(recipe, root) -> lab.Study:
    return lab.bench(recipe, output=root, figures=False)


def test_a_study_has_its_runs_as_objects_and_as_a_frame(study, root):
    assert study.finished
    assert not study.interrupted
    assert study.attempted == 8
    assert study.directory == root / "tiny"
    assert repr(study) == f"<Study tiny: 8 of 8 runs are finished, in {root / 'tiny'}>"
    assert [run.method for run in study.runs] == ["single", "single", "uniform", "avgnorm"] * 2
    assert {path.name for path in study.directory.iterdir()} >= {"table.md", "results.json", "certainty.csv"}
    frame = study.results
    assert frame["balancer"].to_list() == [run.method for run in study.runs]
    assert frame["seg.miou"].drop_nulls().to_list() == [r.metrics["seg.miou"] for r in study.runs if "seg" in r.tasks]
    assert frame["weight.depth"].is_not_null().sum() > 0


def test_the_table_prints_in_a_terminal_and_in_a_notebook(study):
    table = study.table()
    lines = str(table).splitlines()
    assert repr(table) == str(table)
    assert any(line.split()[:1] == ["avgnorm"] and line.split()[1] == table.number(2, 0) for line in lines)
    assert lines[-1] == table.notes[-1]
    html = table._repr_html_()
    assert html.count("<tr>") == 1 + len(table.rows)
    best = next(row for row in range(3) if table.rank(row, 0) == 1)
    assert f"<strong>{table.cell(best, 0)}</strong>" in html


def test_nothing_is_printed_and_nothing_made_twice(recipe, study, root, capsys):
    events = []
    again = lab.bench(recipe, output=root, progress=events.append, figures=False)
    assert (again.attempted, events) == (0, [])
    assert again.results.equals(study.results)
    assert capsys.readouterr() == ("", "")


def test_figures_are_drawn_when_they_are_missing(study):
    written = study.write_figures()
    assert written is not None
    index = json.loads((study.directory / "figures" / "index.json").read_text())
    assert len(index["figures"]) == written[0] > 10
    loaded = lab.load(study.directory)
    assert isinstance(loaded, lab.Study)
    assert loaded.write_figures() is None
    (study.directory / "figures" / "radar.png").unlink()
    assert loaded.write_figures() is not None


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:FutureWarning", "ignore::torch.jit.TracerWarning")
def test_the_best_network_predicts_and_can_be_traced_and_exported(study):
    run = study.best("avgnorm")
    assert run.method == "avgnorm"
    network = run.model()
    assert not network.training
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    predictions = network(images)
    # The network itself takes images that are normalised as in training.
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    model, adapt = load_network(run.directory)
    expected = model((images - mean.view(3, 1, 1)) / std.view(3, 1, 1), adapt).predictions
    assert list(predictions) == ["seg", "depth"]
    torch.testing.assert_close(predictions, expected)
    traced: Any = torch.jit.trace(network, images, strict=False)
    exported = torch.export.export(network, (images,)).module()
    other = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(traced(other), network(other))
    torch.testing.assert_close(exported(other), network(other))
    classes = network.predict(images)["seg"]
    assert not classes.is_floating_point()


def test_the_best_run_is_chosen_among_seeds_on_validation(study):
    runs = [run for run in study.runs if run.method == "uniform"]
    assert study.best("uniform") in runs
    assert study.best().method in ("uniform", "avgnorm")
    with pytest.raises(ValueError, match="Did you mean `avgnorm`"):
        study.best("avgnrm")
    with pytest.raises(ValueError, match="multi-task"):
        study.best("single")
    with pytest.raises(ValueError, match="variant"):
        study.best(variant="large")


def test_verdicts_and_the_page(study, tmp_path):
    found = study.verdicts()
    assert [method.balancer for method in found.methods] == ["uniform", "avgnorm"]
    run = study.best("uniform")
    assert run.verdict() == lab.diagnose(run.directory)
    given = lab.diagnose(run, weights={"depth": 3.0}, figure=tmp_path / "verdict.png")
    assert all("given" in task.shares for task in given.tasks)
    assert (tmp_path / "verdict.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="Did you mean `depth`"):
        lab.diagnose(study, weights={"dept": 1.0})
    steps = []
    page = lab.report(study, tmp_path / "page.html", progress=steps.append)
    assert "avgnorm" in page.read_text(encoding="utf-8")
    assert len(steps) > 5


def test_a_study_and_a_run_are_loaded_from_their_directories(study):
    loaded = lab.load(study.directory)
    assert isinstance(loaded, lab.Study)
    assert [run.metrics for run in loaded.runs] == [run.metrics for run in study.runs]
    run = lab.load(study.best("avgnorm").directory)
    assert isinstance(run, lab.Run)
    assert (run.method, run.status, run.metrics) == ("avgnorm", "finished", study.best("avgnorm").metrics)
    with pytest.raises(lab.ConfigError, match="should be the directory of a study"):
        lab.load(study.directory.parent)


def test_a_recipe_is_a_path_a_mapping_or_an_object_and_stays_as_it_is(recipe, study, root, tmp_path):
    before = copy.deepcopy(recipe)
    few = ["balancers=[uniform]", "seeds=[0]"]
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(recipe))
    found = [lab.bench(given, few, output=root, figures=False) for given in (recipe, path, study.recipe)]
    assert recipe == before
    assert [len(one.runs) for one in found] == [3, 3, 3]
    assert [one.attempted for one in found] == [0, 0, 0]
    with pytest.raises(lab.ConfigError, match=r"did you mean `training\.epochs`"):
        lab.bench(recipe, ["training.epoch=1"], output=root)
    with pytest.raises(ValueError, match="Did you mean `ray`"):
        lab.bench(recipe, output=root, executor="rey")


def test_an_interrupt_keeps_what_is_finished(recipe, tmp_path):
    ended = []

    def stop(event):
        if event.ended:
            ended.append(event.run.key)
        if len(ended) == 2:
            raise KeyboardInterrupt

    study = lab.bench(recipe, ["seeds=[0]"], output=tmp_path, progress=stop)
    assert study.interrupted
    assert sum(run.status == "finished" for run in study.runs) == 2
    assert "uniform (0/1 runs)" in str(study.table())
    assert not (study.directory / "figures").exists()
    again = lab.bench(recipe, ["seeds=[0]"], output=tmp_path, figures=False)
    assert (again.attempted, again.finished) == (2, True)


def test_train_makes_one_run(recipe, tmp_path):
    run = lab.train(recipe, balancer="avgnorm", output=tmp_path)
    assert (run.method, run.status, run.seed) == ("avgnorm", "finished", 0)
    assert set(run.weights) == {"seg", "depth"}
    loaded = lab.load(run.directory)
    assert isinstance(loaded, lab.Run)
    assert loaded.metrics == run.metrics
    with pytest.raises(ValueError, match="needs a recipe with variants"):
        lab.train(recipe, variant="a", output=tmp_path)


def test_a_search_has_trials_and_the_best_weights(recipe, study, root):
    found = lab.search(recipe, "grid", output=root, ranges={"depth": (1.0, 2.0)})
    assert [trial.weights for trial in found.trials] == [{"seg": 1.0, "depth": 1.0}, {"seg": 1.0, "depth": 2.0}]
    assert found.weights in [trial.weights for trial in found.trials]
    assert len(found.table().rows) == 2
    assert "weights of grid" in found.recipe_entry
    assert (found.directory / "search-grid.md").exists()
    with pytest.raises(ValueError, match="Did you mean `grid`"):
        lab.search(recipe, "grd", output=root)
    with pytest.raises(ValueError, match="rnges"):
        lab.search(recipe, "grid", output=root, rnges={})


def test_a_dry_run_estimates_and_makes_no_run(recipe, tmp_path):
    found = lab.dry_run(recipe, ["seeds=[0]"], output=tmp_path)
    assert len(found.planned) == found.in_all == 4
    assert found.problem is None
    assert set(found.costs) == {run.key for run in found.planned}
    assert not (tmp_path / "runs").exists()
    missing = lab.dry_run(recipe, ["seeds=[0]", f"data.root={tmp_path / 'nowhere'}"], output=tmp_path)
    assert "nowhere" in str(missing.problem)


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("import sys, equipoise; print('equipoise.lab' in sys.modules, 'polars' in sys.modules)", "False False"),
        (
            "import sys; sys.modules['polars'] = None\n"
            "try:\n    import equipoise.lab\nexcept ImportError as error:\n    print(error)",
            "`equipoise.lab` needs the package `polars`. Install it: pip install 'equipoise[lab]'.",
        ),
    ],
)
def test_the_library_does_without_the_laboratory(code, output):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == output
