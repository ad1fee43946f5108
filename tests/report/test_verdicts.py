"""Verdicts on studies: the page and the terminal show the same run, and weights to compare are those of tasks."""

import pytest
from rich.console import Console
from typer.testing import CliRunner

from equipoise.cli import app
from equipoise.config import Recipe
from equipoise.diagnosis.store import records_frame, write_records
from equipoise.report.console.verdicts import study_on_console
from equipoise.report.html.tables import verdicts
from equipoise.studies import open_study, save_recipe
from equipoise.studies.results.diagnose import diagnose_study

TASKS = ["seg", "edge"]


@pytest.fixture
def study(tmp_path):
    """A study of two seeds; the records of the first are damaged."""
    content = {
        "name": "little",
        "data": {"name": "rooms", "root": str(tmp_path / "rooms")},
        "tasks": TASKS,
        "training": {"epochs": 1},
        "balancers": ["uniform"],
        "seeds": [0, 1],
    }
    directory = tmp_path / "little"
    save_recipe(Recipe.model_validate(content), directory)
    damaged, whole = (run.directory(tmp_path) for run in open_study(directory).planned if run.needs)
    for run in (damaged, whole):
        run.mkdir(parents=True)
    (damaged / "probe.parquet").write_text("damaged")
    rows = [
        {
            "step": step, "tasks": TASKS, "losses": [1.0, 1.0], "weights": [1.0, 1.0], "gram": [1.0, 0.0, 0.0, 1e-4],
            "with_update": [1.0, 1e-4], "update_square": 1.0001, "coherence": None,
        }
        for step in range(1, 101)
    ]  # fmt: skip
    write_records(records_frame(rows), whole / "probe.parquet")
    return open_study(directory)


def test_the_run_that_has_a_verdict_is_shown(study):
    (verdict,) = verdicts(study).methods
    assert (verdict.seed, verdict.missing) == (1, None)
    assert verdict.text is not None
    console = Console(width=200, record=True)
    console.print(study_on_console(diagnose_study(study)))
    assert "seed 1:" in console.export_text()


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("egde=50", "one of seg, edge. .* Did you mean `edge`"),
        ("edge=nan", "finite number of at least 0. Found `weights.'edge'. = nan`"),
        ("edge=-1", "at least 0"),
        ("edge", "TASK=NUMBER"),
    ],
)
def test_weights_are_numbers_of_known_tasks(study, weight, message):
    run = study.rows[-1].directory
    for path in (study.directory, run):
        found = CliRunner().invoke(app, ["diagnose", str(path), "--json", "--weight", weight])
        with pytest.raises(ValueError, match=message):
            raise found.exception
    answer = CliRunner().invoke(app, ["diagnose", str(run), "--json", "--weight", "edge=50"])
    assert answer.exit_code == 0
    assert '"given"' in answer.output
