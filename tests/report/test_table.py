import csv
import math

import pytest
from rich.console import Console

from equipoise.report import certainty, changes, comparison, relative_change, terminal_table, write_figure
from equipoise.studies import RunRow

DIRECTIONS = {"seg.miou": True, "depth.rmse": False}


def record(balancer, tasks=("seg", "depth"), seed=0, **changes) -> RunRow:
    content = {
        "dataset": "rooms",
        "architecture": "shared",
        "backbone": "resnet18",
        "balancer": balancer,
        "tasks": tasks,
        "seed": seed,
        "protocol": "validation",
        "status": "finished",
        "metrics": {"seg.miou": 40.0, "seg.pixel_accuracy": 50.0, "depth.rmse": 0.5},
        "delta_m": 1.0,
        "weights": {"seg": 1.0, "depth": 2.0},
        "seconds": 3.0,
        "directory": "runs/a",
        "selection": "delta_m",
    }
    return RunRow.model_validate(content | changes)


def study(**failed) -> list[RunRow]:
    found = []
    for seed in (0, 1):
        found += [
            record("single", ("seg",), seed, metrics={"seg.miou": 40.0 + seed}, delta_m=-1.0 + 2 * seed, weights={}),
            record("single", ("depth",), seed, metrics={"depth.rmse": 0.5}, delta_m=0.0, weights={}),
            record("uniform", seed=seed, metrics={"seg.miou": 38.0, "depth.rmse": 0.61 + seed / 50}, delta_m=-9.0),
            record("a|b", seed=seed, metrics={"seg.miou": 42.0 + seed, "depth.rmse": 0.55}, delta_m=-2.0 + seed),
        ]
    return found


def test_rows_are_means_over_seeds_and_the_best_is_marked(tmp_path):
    table = comparison(study(), DIRECTIONS)
    assert [row.name for row in table.rows] == ["single", "uniform", "a|b"]
    table.write(tmp_path / "table.md")
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[0] == "| method | seg miou ↑ | depth rmse ↓ | delta_m % ↑ | weight seg | weight depth |"
    weights = "1.00 [1.00, 1.00] | 2.00 [2.00, 2.00]"
    assert lines[2].startswith("| single | *40.50 [40.00, 41.00]* | **0.5000 [0.5000, 0.5000]** | **0.00 [")
    assert lines[3].startswith("| uniform | 38.00 [38.00, 38.00] | 0.6200 [0.6100, 0.6300] | -9.00 [-9.00, -9.00] | ")
    assert lines[3].endswith(f"| {weights} |")
    assert lines[4].startswith(r"| a\|b | **42.50 [42.00, 43.00]** | *0.5500 [")
    assert "means over seeds 0, 1" in lines[6]
    assert any("the test split was read once" in line for line in lines)


def variants() -> list[RunRow]:
    found = []
    for name, reference in (("plain", "plain"), ("wide|", "plain")):
        found += [entry.model_copy(update={"variant": name, "reference": reference}) for entry in study()]
    return found


def test_variants_are_told_apart(tmp_path):
    table = comparison(variants(), DIRECTIONS)
    assert [(row.variant, row.name) for row in table.rows] == [
        (variant, name) for variant in ("plain", "wide|") for name in ("single", "uniform", "a|b")
    ]
    table.write(tmp_path / "table.md")
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[0].startswith("| variant | method | seg miou ↑ |")
    assert lines[6].startswith(r"| wide\| | uniform | 38.00 [")
    assert any("single-task networks (Guo et al. 2025, equation 5) of plain." in line for line in lines)
    table.write(tmp_path / "table.csv")
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert [row["variant"] for row in rows] == ["plain"] * 3 + ["wide|"] * 3
    console = Console(width=80, record=True, force_terminal=False)
    with console.capture() as captured:
        console.print(terminal_table(table))
    lines = [line.strip() for line in captured.get().splitlines()]
    assert lines.count("plain") == lines.count("wide|") == 1


def test_every_variant_has_a_panel():
    figure = relative_change(variants(), DIRECTIONS)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["plain", "wide|"]


def test_csv_has_every_digit_and_counts_runs(tmp_path):
    table = comparison(study(), DIRECTIONS)
    table.write(tmp_path / "table.csv")
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert [row["method"] for row in rows] == ["single", "uniform", "a|b"]
    assert float(rows[1]["depth_rmse"]) == pytest.approx(0.62, abs=1e-15)
    assert float(rows[2]["delta_m"]) == -1.5
    assert rows[0]["weight_seg"] == ""
    assert [(row["runs"], row["finished"]) for row in rows] == [("4", "4"), ("2", "2"), ("2", "2")]


def test_one_seed_has_no_interval(tmp_path):
    records = [entry for entry in study() if entry.seed == 0]
    table = comparison(records, DIRECTIONS)
    table.write(tmp_path / "table.md")
    assert "[" not in (tmp_path / "table.md").read_text().split("\n\n")[0]
    table.write(tmp_path / "table.csv")
    assert "_low" not in (tmp_path / "table.csv").read_text()
    assert certainty(records, DIRECTIONS) is None


def test_the_spread_over_seeds_is_in_the_csv(tmp_path):
    comparison(study(), DIRECTIONS).write(tmp_path / "table.csv")
    row = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))[1]
    assert [float(row[key]) for key in ("depth_rmse_low", "depth_rmse_high")] == pytest.approx([0.61, 0.63])


def test_latex_is_booktabs_with_special_characters_escaped(tmp_path):
    records = study() + [record("50%_&{}", seed=seed, delta_m=-3.0) for seed in (0, 1)]
    comparison(records, DIRECTIONS).write(tmp_path / "table.tex")
    text = (tmp_path / "table.tex").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    assert lines[0] == r"\begin{tabular}{lrrrrr}"
    assert [line for line in lines if line.endswith("rule")] == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert lines[2].startswith(r"method & seg miou $\uparrow$ & depth rmse $\downarrow$ & delta\_m \% $\uparrow$")
    assert any(line.startswith(r"50\%\_\&\{\} & ") for line in lines)
    assert all(line.count(" & ") == 5 for line in lines if line.endswith("\\\\"))
    assert r"\textbf{42.50 [42.00, 43.00]}" in text
    assert r"\underline{" in text


def test_certainty_pairs_seeds():
    table = certainty(study(), DIRECTIONS)
    assert [row.name for row in table.rows] == ["uniform", "a|b"]
    uniform, better = table.rows
    # a|b is -2 and -1, uniform -9 and -9.
    assert (better.values[1].mean, better.values[1].low, better.values[1].high) == (7.5, 7.0, 8.0)
    assert uniform.values[1] is None
    assert uniform.values[2].mean == -7.5
    assert better.values[2] is None
    # a|b is better in both metrics with both seeds.
    assert (uniform.values[3].mean, better.values[3].mean) == (2.0, 1.0)
    assert any("4 comparisons" in note for note in table.notes)


def test_failed_and_missing_runs_are_told():
    records = study()
    records[3] = record("a|b", status="failed", metrics={}, delta_m=None, weights={}, error="NonFiniteError: seg")
    records[4] = record("single", ("seg",), 1, status="missing", metrics={}, delta_m=None, weights={})
    table = comparison(records, DIRECTIONS)
    single, _, broken = table.rows
    assert broken.title == "a|b (1/2 runs)"
    assert broken.values[0].mean == 43.0
    assert single.values[2] is None
    assert "a|b on seg, depth (seed 0) failed: NonFiniteError: seg" in table.notes
    assert "single on seg (seed 1) missing." in table.notes


def test_a_table_without_runs_says_why():
    table = comparison([], DIRECTIONS)
    assert table.rows == ()
    assert table.notes == ("No run of the table is known yet: the trials that choose hyper-parameters come first.",)


def test_a_number_that_is_not_finite_is_a_gap():
    records = [record("uniform", metrics={"seg.miou": math.nan, "depth.rmse": 0.5}, delta_m=None)]
    table = comparison(records, DIRECTIONS)
    assert table.cell(0, 0) == "–"
    assert table.rank(0, 0) is None


def test_protocol_and_fallback_are_told():
    table = comparison([record("uniform", protocol="paper_one", selection="mean relative loss")], DIRECTIONS)
    assert any("test split itself" in note for note in table.notes)
    assert any("mean relative loss" in note for note in table.notes)


@pytest.mark.parametrize("width", [80, 160])
def test_the_console_shows_every_number_whole(width):
    console = Console(width=width, record=True, force_terminal=False)
    directions = DIRECTIONS | {"normals.merr": False, "edge.odsf": True}
    weights = {"seg": 1.0, "depth": 2.0, "normals": 2.0, "edge": 50.0}
    metrics = {"seg.miou": 40.0, "depth.rmse": 0.5, "normals.merr": 20.0, "edge.odsf": 70.0}
    records = [record(name, tuple(weights), metrics=metrics, weights=weights) for name in ("single", "a_long_name")]
    with console.capture() as captured:
        console.print(terminal_table(comparison(records, directions)))
    text = captured.get()
    assert max(map(len, text.splitlines())) <= width
    line = next(line for line in text.splitlines() if "a_long_name" in line)
    assert line.split() == ["a_long_name", "40.00", "0.5000", "20.00", "70.00", "1.00", "1.00", "2.00", "2.00", "50.00"]


@pytest.mark.parametrize("records", [study(), study()[:2], [record("uniform", status="missing", metrics={})]])
def test_the_figure_is_drawn_whatever_is_finished(tmp_path, records):
    write_figure(relative_change(records, DIRECTIONS), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


def test_bars_are_signed_changes_against_single_task():
    axes = relative_change(study(), DIRECTIONS).axes[0]
    heights = [[bar.get_height() for bar in group] for group in axes.containers]
    assert heights[0] == pytest.approx([100 * (38 / 40.5 - 1), -100 * (0.62 / 0.5 - 1)])
    assert heights[1] == pytest.approx([100 * (42.5 / 40.5 - 1), -100 * (0.55 / 0.5 - 1)])


def test_a_variant_of_fewer_tasks_has_the_changes_of_its_own():
    both = [one.model_copy(update={"variant": "two tasks", "reference": "two tasks"}) for one in study()]
    alone = [
        one.model_copy(update={"variant": "one task", "reference": "one task", "tasks": ("depth",)})
        for one in study()
        if "depth" in one.tasks
    ]
    found = changes([*alone, *both], DIRECTIONS).filter(method="uniform")
    assert found.select("variant", "metric").rows() == [
        ("one task", "depth.rmse"), ("two tasks", "seg.miou"), ("two tasks", "depth.rmse"),
    ]  # fmt: skip
    figure = relative_change([*alone, *both], DIRECTIONS)
    assert [len(axes.patches) for axes in figure.axes] == [2, 4]
    # A metric has one colour in all panels, and the legend has every metric.
    colours = [[bar.get_facecolor() for bar in axes.patches] for axes in figure.axes]
    assert colours[0][0] == colours[1][1]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["seg miou", "depth rmse", "delta_m"]
