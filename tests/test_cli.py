import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from equipoise import balancing, cli

TINY = """
name: tiny
data: {name: rooms}
tasks: [seg, depth]
model: {backbone: test_resnet, decoder: conv, output_stride: 8}
training: {epochs: 1, batch_size: 3, learning_rate: 1.0e-3}
balancers: [uniform, avgnorm]
"""


@pytest.fixture
def recipe(tmp_path, rooms) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.replace("{name: rooms}", f"{{name: rooms, root: '{rooms}'}}"))
    return path


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Call the command in this process; gives exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    # Rich would otherwise break lines at 80 columns.
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["equipoise", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err

    return run


def test_bench_prints_and_writes_the_comparison_and_is_not_made_twice(call, recipe, tmp_path):
    code, out, err = call("bench", recipe, "-o", tmp_path / "out")
    assert (code, err) == (0, "")
    assert out.count("finished in") == 4
    assert "\x1b" not in out
    assert "\r" not in out
    assert "held out from training; the test split was read once" in out
    study = tmp_path / "out" / "tiny"
    assert {path.name for path in study.iterdir()} == {
        "study.yaml", "fingerprints.json", "table.md", "table.csv", "table.tex", "results.json", "results.parquet",
        "relative_change.png", "figures",
    }  # fmt: skip
    assert {"radar.png", "gradient_norms.png", "predictions-1.png"} <= {
        path.name for path in (study / "figures").iterdir()
    }
    assert f"in {study / 'figures'}, drawn in" in out
    results = json.loads((study / "results.json").read_text())
    assert [entry["balancer"] for entry in results] == ["single", "single", "uniform", "avgnorm"]
    assert all(Path(entry["directory"]).is_dir() for entry in results)
    for row in ("single", "uniform", "avgnorm"):
        assert f"| {row} |" in (study / "table.md").read_text()
        assert row in out
    with Image.open(study / "relative_change.png") as figure:
        assert min(figure.size) > 100

    written = (study / "results.json").read_text()
    code, out, _ = call("bench", recipe, "--output", tmp_path / "out")
    assert code == 0
    assert "4 of 4 runs are finished already" in out
    assert "finished in" not in out
    assert "drawn in" not in out
    assert (study / "results.json").read_text() == written

    # As a command leaves it that is killed while it draws.
    (study / "figures" / "radar.png").unlink()
    code, out, _ = call("bench", recipe, "--output", tmp_path / "out")
    assert code == 0
    assert "drawn in" in out
    assert (study / "figures" / "radar.png").exists()


def test_a_table_needs_no_data_once_the_runs_are_finished(call, recipe, rooms, tmp_path):
    own = tmp_path / "rooms"
    shutil.copytree(rooms, own)
    assert call("bench", recipe, f"data.root={own}", "tasks=[depth]", "balancers=[uniform]")[0] == 0
    shutil.rmtree(own)
    assert call("bench", recipe, f"data.root={own}", "tasks=[depth]", "balancers=[uniform]")[0] == 0


def test_a_failed_run_stands_in_the_table_and_in_the_exit_code(call, recipe, tmp_path):
    diverging = "balancers=[{name: fixed, label: diverging, weights: {seg: 1.0e+39, depth: 1.0e+39}}, uniform]"
    code, out, _ = call("bench", recipe, diverging)
    assert code == 1
    assert "diverging (seed 0): failed: NonFiniteError" in out
    assert re.search(r"Traceback of a failed run: \S+failure\.json", out)
    assert "diverging (0/1 runs)" in out
    assert "uniform (seed 0): finished" in out
    results = json.loads((tmp_path / "studies" / "tiny" / "results.json").read_text())
    assert [entry["status"] for entry in results] == ["finished", "finished", "failed", "finished"]
    assert results[2]["delta_m"] is None


def test_train_makes_one_run_that_bench_may_take_over(call, recipe, tmp_path):
    code, out, _ = call("train", recipe, "--balancer", "avgnorm")
    assert code == 0
    assert "seg.miou" in out
    assert "weight depth" in out
    assert len(list((tmp_path / "studies" / "runs").iterdir())) == 1
    # Chosen without the single-task networks, it is not a run of the comparison.
    assert "0 of 4" not in call("bench", recipe)[1]
    assert len(list((tmp_path / "studies" / "runs").iterdir())) == 5
    code, out, _ = call("train", recipe, "--balancer", "avgnorm")
    assert code == 0
    assert "1 of 1 runs are finished already" in out
    assert len(list((tmp_path / "studies" / "runs").iterdir())) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "none.yaml"], "`none.yaml` cannot be read"),
        (["bench", "RECIPE", "training.epoch=3"], "did you mean `training.epochs`?"),
        (["bench", "RECIPE", "training.epochs=many"], "training.epochs = 'many'"),
        (["bench", "RECIPE", "balancers=[avgnrm]"], "Did you mean `avgnorm`?"),
        (["bench", "RECIPE", "model.backbone=resnt18"], "Did you mean `resnet18"),
        (["bench", "RECIPE", "data.root=/no/such/place"], "/no/such/place: is missing"),
        (["bench", "RECIPE", "data={name: nyud_mini}"], "`root` should be the directory of the dataset"),
        (["bench", "RECIPE", "data={name: nyud_mini, root: /no/such/place}"], "Get it from"),
        (["bench", "RECIPE", "data.scenes=5"], "`scenes` should be 3"),
        (["bench", "RECIPE", "-o", "RECIPE"], "File exists"),
        (["bench", "RECIPE", "--jobs", "0"], "--jobs"),
        (["bench", "RECIPE", "--executor", "rey"], "Did you mean `ray`?"),
        (["bench", "RECIPE", "--address", "here"], "executor `local` takes no options. Found `address = 'here'`"),
        (["search", "RECIPE", "--strategy", "grid", "--executor", "slurm", "--option", "cpus"], "should have the form"),
        (["search", "RECIPE", "--strategy", "grid", "--strategy-option", "rnges=1"], "Did you mean `ranges`?"),
        (["bench"], "Missing argument"),
        (["train", "RECIPE", "--balancer", "avgnrm"], "Did you mean `avgnorm`?"),
        (["methds"], "No such command"),
        (["report", "ROOMS"], "which has no `study.yaml`"),
        (["models", "mtn"], "Did you mean `mtan`?"),
        (["models", "--tasks", "nyuv2"], "Did you mean `nyud`?"),
        (["models", "--size", "448"], "such as 448x576. Found `--size 448`"),
        (["data", "make", "nyud_mini", "out"], "`name` should be one of rooms"),
        (["data", "make", "rooms", "out", "--size", "1"], "--size"),
        (["data", "check", "room", "."], "Did you mean `rooms`?"),
        (["data", "check", "rooms", "/no/such/place"], "does not exist"),
        (["data", "check", "rooms", "RECIPE"], "is a file"),
        (["data", "check", "nyud_mini"], "`root` should be the directory"),
        (["data", "check", "rooms", "ROOMS", "scens=3"], "Did you mean `scenes`?"),
        (["data", "check", "rooms", "ROOMS", "scenes"], "should have the form"),
        (["data", "show", "rooms", "ROOMS", "scenes=many"], "Found `scenes = 'many'`"),
        (["data", "show", "rooms", "ROOMS", "--split", "tset"], "Did you mean `test`?"),
        (["data", "show", "rooms", "ROOMS", "--split", "val", "--corrupt"], "'train' alone"),
        (["bench", "RECIPE", "data.corrupt.strength.dept=1"], "Did you mean `depth`?"),
        (["bench", "RECIPE", "data.subset.scenes=9"], "`scenes` should be at most 1"),
    ],
)
def test_wrong_usage_ends_in_one_message_and_code_2(call, recipe, rooms, tmp_path, arguments, message):
    places = {"RECIPE": recipe, "ROOMS": rooms}
    code, out, err = call(*(places.get(argument, argument) for argument in arguments))
    assert code == 2
    assert message in err
    assert "Traceback" not in out + err
    assert not (tmp_path / "studies" / "runs").exists()


def test_a_wrong_database_is_an_error_before_anything_is_trained(call, recipe, tmp_path):
    budget = ("search", recipe, "--strategy", "tpe", "--runs", 1)
    code, out, err = call(*budget, "--storage", "nosuch://host/database")
    assert code == 2
    assert "`storage` should be the URL of a database" in err
    assert out == ""
    assert not (tmp_path / "studies" / "runs").exists()


def test_methods_are_listed_for_people_and_machines(call):
    code, out, _ = call("methods")
    assert code == 0
    assert all(name in out for name in balancing.available())
    code, out, _ = call("methods", "--json")
    records = {record["name"]: record for record in json.loads(out)}
    assert code == 0
    assert set(records) == set(balancing.available())
    assert records["avgnorm"]["hyper_parameters"]["every"] == 1
    assert "2025" in records["avgnorm"]["paper"]


def test_networks_are_listed_for_people_and_machines(call):
    code, out, _ = call("models", "mtan", "--tasks", "pascal_context", "--size", "64x96")
    assert code == 0
    assert "64x96" in out
    assert re.search(r"mtan +resnet18 +seg +16\.67 +11\.68 +4\.99", out)
    assert re.search(r"all 5 +36\.61 +11\.68 +4\.99 ", out)
    code, out, _ = call("models", "mtan", "--json", "--size", "64x96")
    assert code == 0
    single, several, *_ = json.loads(out)
    assert (single["architecture"], single["backbone"]) == ("mtan", "resnet18")
    assert (single["tasks"], several["tasks"]) == (["seg"], ["seg", "depth", "normals", "edge"])
    assert several["parameters"] == several["shared"] + sum(several["by_task"].values()) == 31_630_637
    assert several["macs"] > single["macs"] > 0


def test_data_make_check_and_show(call, tmp_path):
    root = tmp_path / "made"
    code, out, _ = call("data", "make", "rooms", root, "--scenes", 3, "--scans", 1, "--size", 16)
    assert code == 0
    assert "3 scenes, 3 scans" in out
    code, out, _ = call("data", "check", "rooms", root)
    assert code == 0
    assert "0 faults" in out
    code, out, _ = call("data", "check", "rooms", root, "--json")
    report = json.loads(out, parse_constant=pytest.fail)
    assert report["faults"] == []
    assert {split: found["samples"] for split, found in report["splits"].items()} == {"train": 1, "val": 1, "test": 1}
    tasks = report["splits"]["test"]["tasks"]
    depths = np.load(next((root / "scene_002").glob("*_depth.npy")))
    assert tasks["depth"]["min"] == pytest.approx(depths.min())
    assert tasks["depth"]["max"] == pytest.approx(depths.max())
    assert tasks["depth"]["mean"] == pytest.approx(depths.mean())
    assert tasks["depth"]["labelled"] == 1
    assert sum(tasks["seg"]["histogram"].values()) == 256
    with Image.open(next((root / "scene_002").glob("*_edge.png"))) as picture:
        edges = np.array(picture) > 0
    assert tasks["edge"]["fraction"] == pytest.approx(edges.mean())
    with Image.open(next((root / "scene_002").glob("*_saliency.png"))) as picture:
        assert tasks["saliency"]["fraction"] == pytest.approx((np.array(picture) > 0).mean())
    normals = np.load(next((root / "scene_002").glob("*_normals.npy"))).astype(float)
    assert tasks["normals"]["mean"] == pytest.approx(normals.mean(axis=(0, 1)).tolist())

    code, _, _ = call("data", "show", "rooms", root, "-o", tmp_path / "sheet.png", "--samples", 1)
    assert code == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 5 * 16
        plain = sheet.width
    code, _, _ = call("data", "show", "rooms", root, "corrupt.seed=1", "--corrupt", "-o", tmp_path / "sheet.png")
    assert code == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 1.8 * plain

    damaged = next(root.glob("*/*_image.png"))
    damaged.write_bytes(b"nothing")
    code, out, _ = call("data", "check", "rooms", root)
    assert code == 1
    assert str(damaged) in out
    code, out, _ = call("data", "check", "rooms", root, "--json")
    assert code == 1
    (fault,) = json.loads(out)["faults"]
    assert fault["file"] == str(damaged)
    assert "cannot be read" in fault["what"]


def test_making_data_over_something_else_is_refused(call, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    code, _, err = call("data", "make", "rooms", tmp_path / "full", "--scenes", 1, "--scans", 1, "--size", 16)
    assert code == 2
    assert "other files" in err


def test_help_does_not_wait_for_the_laboratory():
    code = "import sys; from equipoise import cli; sys.exit('timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_page_of_methods_is_up_to_date():
    from equipoise import balancing
    from equipoise.report.tables.catalogue import method_page, method_records

    page = Path(__file__).parents[1] / "docs" / "methods.md"
    assert page.read_text(encoding="utf-8") == method_page(method_records(balancing.all_methods())), (
        "run `equipoise methods --markdown > docs/methods.md`"
    )


def test_a_dry_run_lists_runs_and_estimates_them_and_makes_none(call, recipe, tmp_path):
    code, out, err = call("bench", recipe, "-o", tmp_path / "out", "--dry-run")
    assert (code, err) == (0, "Measuring kinds of runs ...\n")
    assert re.search(r"avgnorm +all 2 +0 +1 +0 ", out)
    assert "4 runs are known, 0 of them finished." in out
    assert re.search(r"take about .+ on this machine with 1 at a time, .+ of memory", out)
    assert not list(tmp_path.glob("out/runs/*"))


def test_a_dry_run_says_where_data_are_missing(call, recipe, tmp_path):
    missing = tmp_path / "nowhere"
    code, out, _ = call("bench", recipe, f"data={{name: nyud, root: {missing}}}", "-o", tmp_path / "out", "--dry-run")
    assert code == 0
    assert "4 runs are known" in out
    assert "cannot be estimated" in out
    assert str(missing) in out


def process(*arguments, folder: Path, **environment) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "equipoise.cli", *map(str, arguments)]
    given = os.environ | {"COLUMNS": "300", "EQUIPOISE_DEBUG": ""} | environment
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("debug", ["option in front", "option behind", "environment"])
def test_debug_shows_the_traceback_of_a_users_error(tmp_path, debug):
    arguments = {
        "option in front": ["--debug", "report", "none"],
        "option behind": ["report", "none", "--debug"],
        "environment": ["report", "none"],
    }[debug]
    done = process(*arguments, folder=tmp_path, **({"EQUIPOISE_DEBUG": "1"} if debug == "environment" else {}))
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: `STUDY` should be the directory of a study")
    assert "report the" not in done.stderr


@pytest.mark.slow
def test_a_users_error_is_one_line_of_a_real_process(tmp_path):
    (tmp_path / "bad.yaml").write_text(TINY.replace("epochs: 1", "epochs: many"))
    done = process("bench", "bad.yaml", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: `bad.yaml` cannot be used")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "bug",
    [
        # Before anything is trained, where input is checked, too.
        "from equipoise.training import session\nsession.normalization = lambda config: int('three')",
        # Afterwards, when no input is left to be wrong: however it is raised.
        "from equipoise.lab import study\n"
        "def broken(rows, directions):\n    raise ValueError('`rows` should be right.')\n"
        "study.reports.comparison = broken",
        "from equipoise.lab import study\nstudy.reports.comparison = lambda rows, directions: [][0]",
    ],
)
def test_a_bug_of_ours_shows_its_traceback_and_asks_for_a_report(recipe, tmp_path, bug):
    (tmp_path / "plants_a_bug.py").write_text(bug)
    recipe.write_text(f"import: [plants_a_bug.py]\n{recipe.read_text()}")
    done = process("bench", recipe, "tasks=[depth]", "balancers=[uniform]", folder=tmp_path)
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("This is a bug in Equipoise")
    assert "please report it" in done.stderr.splitlines()[-1]
