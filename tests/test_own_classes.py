"""The page about classes of one's own: its files, its recipe and its commands, in a folder of a user."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "own_classes.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def call(arguments: list[str], directory: Path) -> None:
    # Like the installed command, `-P` leaves the working directory out of the module path.
    command = [sys.executable, "-P", "-m", "equipoise.cli", *arguments]
    outcome = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.slow
def test_the_files_of_the_page_make_a_study(tmp_path):
    for block in blocks("python"):
        name = re.match(r"# (\w+\.py)\n", block)
        assert name is not None, block[:80]
        (tmp_path / name[1]).write_text(block)
    (tmp_path / "mine.yaml").write_text(blocks("yaml")[0])
    for line in blocks("sh")[0].splitlines():
        program, *arguments = shlex.split(line)
        assert program == "equipoise"
        call(arguments, tmp_path)
    study = tmp_path / "studies" / "mine"
    rows = json.loads((study / "results.json").read_text())
    assert [row["balancer"] for row in rows] == ["single", "single", "uniform", "inverse_norm"]
    assert set(rows[-1]["metrics"]) >= {"height.largest", "depth.rmse"}
    assert any(path.name.startswith("seconds") for path in (study / "figures").iterdir())
    # The study needs the files no longer.
    for path in tmp_path.glob("my_*.py"):
        path.unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    call(["report", str(study)], elsewhere)
