"""A verdict as JSON, on a terminal, from directories."""

import json

import polars
import pytest
from rich.console import Console
from typer.testing import CliRunner

from equipoise.cli import app
from equipoise.config import Recipe
from equipoise.diagnosis import Verdict, judge
from equipoise.diagnosis.store import records_frame, write_records
from equipoise.report.console.verdicts import verdict_on_console
from equipoise.report.verdict_text import verdict_text
from equipoise.studies import open_study, save_recipe
from equipoise.studies.results.diagnose import diagnose

from .records import record


@pytest.fixture
def starved() -> polars.DataFrame:
    return records_frame([record(step, ["seg", "[edge]"], [[1.0, 0.0], [0.0, 1e-4]]) for step in range(1, 101)])


def test_json_holds_all_of_it(starved):
    verdict = judge(starved)
    assert Verdict.model_validate(json.loads(verdict.model_dump_json())) == verdict


def test_a_terminal_shows_every_task(starved):
    console = Console(width=120, record=True)
    console.print(verdict_on_console(judge(starved)))
    text = console.export_text()
    for part in ("[edge]: starved", "100 times shorter", "from the start", "weights: {seg: 1, [edge]: 100}"):
        assert part in text


def test_words_and_table_are_the_same_for_terminal_and_page(starved):
    told = verdict_text(judge(starved, {"searched": {"[edge]": 100.0}}))
    assert told.weightings == ("uniform", "avgnorm", "searched", "suggested")
    assert told.tasks[1].others == ("0.01%", "50%", "50%", "50%")
    assert (told.tasks[1].state, told.tasks[0].fine) == ("starved", False)
    assert told.findings[0].certainty == "over 99 %"


def test_the_command_prints_draws_and_answers_in_json(starved, tmp_path):
    (tmp_path / "run").mkdir()
    write_records(starved, tmp_path / "run" / "probe.parquet")
    picture = tmp_path / "verdict.png"
    result = CliRunner().invoke(app, ["diagnose", str(tmp_path / "run"), "--figure", str(picture)])
    assert result.exit_code == 0
    assert "is starved" in result.output
    assert picture.stat().st_size > 10_000
    answer = CliRunner().invoke(
        app, ["diagnose", str(tmp_path / "run" / "probe.parquet"), "--json", "--weight", "seg=2"]
    )
    verdict = Verdict.model_validate(json.loads(answer.output))
    assert verdict.starved == ("[edge]",)
    assert verdict.tasks[1].shares["given"] < verdict.tasks[1].shares["uniform"]


def test_a_study_has_a_row_a_method_and_reads_unfinished_runs(starved, tmp_path):
    content = {
        "name": "little",
        "data": {"name": "rooms", "root": str(tmp_path / "rooms")},
        "tasks": ["seg", "edge"],
        "training": {"epochs": 1},
        "balancers": [{"name": "uniform"}, {"name": "avgnorm"}],
        "seeds": [0],
    }
    study = tmp_path / "little"
    save_recipe(Recipe.model_validate(content), study)
    uniform, avgnorm = [run for run in open_study(study).planned if run.needs]
    for run in (uniform, avgnorm):
        run.directory(tmp_path).mkdir(parents=True)
    rows = [record(step, ["seg", "edge"], [[1.0, 0.0], [0.0, 1e-4]]) for step in range(1, 101)]
    write_records(records_frame(rows), uniform.directory(tmp_path) / "probe.parquet")
    (avgnorm.directory(tmp_path) / "probe.parquet").write_text("damaged")
    found = diagnose(study)
    assert [(method.balancer, method.runs, method.starved) for method in found.methods] == [
        ("uniform", 1, {"edge": 1}),
        ("avgnorm", 0, {}),
    ]
    assert "should be a file that a probe has written" in found.runs[1].missing
    result = CliRunner().invoke(app, ["diagnose", str(study), "--figure", str(tmp_path / "study.png")])
    assert result.exit_code == 0
    assert "`edge` is starved." in result.output
    assert (tmp_path / "study.png").exists()


@pytest.mark.parametrize("name", ["nowhere", "empty", "file.txt", "hollow.parquet", "silent"])
def test_a_path_without_records_is_one_message(name, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("no records")
    (tmp_path / "hollow.parquet").touch()
    (tmp_path / "silent").mkdir()
    (tmp_path / "silent" / "config.yaml").touch()
    with pytest.raises(ValueError, match=r"should be") as caught:
        diagnose(tmp_path / name)
    assert name in str(caught.value)
    if name == "silent":
        assert "training.probe.every: 10" in str(caught.value)
