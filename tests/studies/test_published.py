import csv

import pytest

from equipoise.config import PublishedConfig
from equipoise.metrics import delta_m, mean_within_tasks
from equipoise.report import beside_published
from equipoise.studies import RunRow
from equipoise.studies.results.published import read, tables

NYUD = {"seg.miou": True, "depth.rmse": False, "normals.merr": False, "edge.odsf": True}


def test_every_table_can_be_read():
    for table in tables():
        rows = read(PublishedConfig(table=table), NYUD)
        assert rows


def test_paper_one_is_computed_from_its_cells():
    rows = read(PublishedConfig(table="paper_one_table2_nyud", rows={"model": "resnet-18"}), NYUD)
    assert len(rows) == 15
    assert rows["uniform"].delta_m == pytest.approx(-2.93, abs=0.01)
    assert rows["nash_mtl"].delta_m == pytest.approx(0.35, abs=0.03)
    assert rows["uniform"].values["edge.odsf"] == 67.1


def test_other_rows_may_be_the_reference():
    config = PublishedConfig(table="paper_one_table2_nyud", rows={"model": "mtan"}, reference={"model": "resnet-18"})
    rows = read(config, NYUD)
    assert rows["single"].delta_m == pytest.approx(0.82, abs=0.01)
    single = read(PublishedConfig(table="paper_one_table2_nyud", rows={"model": "resnet-18"}), NYUD)["single"]
    assert rows["cagrad"].delta_m == pytest.approx(delta_m(rows["cagrad"].values, single.values, NYUD))


def test_paper_two_has_relative_changes_as_printed():
    rows = read(PublishedConfig(table="paper_two_multimnist_cl_rr"), {"CL.accuracy": True, "RR.mse": False})
    assert rows["cagrad"].values == {}
    assert rows["cagrad"].changes == {"CL.accuracy": -1.685, "RR.mse": -2.59}
    assert rows["cagrad"].delta_m == -2.137
    for row in rows.values():
        assert row.delta_m == pytest.approx(sum(row.changes.values()) / 2, abs=0.006)


def test_paper_two_is_computed_anew_for_some_of_its_metrics():
    config = PublishedConfig(table="paper_two_cityscapes_19c")
    every = {"seg.miou": True, "seg.pixel_accuracy": True, "disparity.abs": False, "disparity.rel": False}
    every |= {"instance.abs": False}
    assert {name: row.delta_m for name, row in read(config, every).items()}["edm"] == 0.246
    for row in read(config, every).values():
        assert row.delta_m == pytest.approx(mean_within_tasks(row.changes), abs=0.002)
    main = {"seg.miou": True, "disparity.abs": False, "instance.abs": False}
    edm = read(config, main)["edm"]
    assert edm.delta_m == pytest.approx((-3.174 + 0.990 + 2.468) / 3)


def test_a_table_without_the_metrics_is_as_printed():
    rows = read(PublishedConfig(table="paper_two_qm9"), {"mu.mae": False, "alpha.mae": False})
    assert rows["uniform"].delta_m == -135.7
    # Without single-task networks there is nothing to compute from.
    rows = read(PublishedConfig(table="paper_one_table6_avgnorm_nyud", rows={"model": "resnet-18"}), NYUD)
    assert rows["avgnorm"].delta_m == 0.37


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"table": "paper_one_table9"}, "published.table"),
        ({"table": "paper_one_table2_nyud", "rows": {"model": "resnet18"}}, "mtan.*resnet-18"),
    ],
)
def test_what_is_not_there_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        read(PublishedConfig(**config), NYUD)


def record(balancer: str, delta: float, seed: int = 0) -> RunRow:
    metrics = {"seg.miou": 30.0, "depth.rmse": 0.7, "normals.merr": 25.0, "edge.odsf": 50.0 + seed}
    content = {"dataset": "rooms", "architecture": "shared", "backbone": "resnet18", "balancer": balancer}
    content |= {"tasks": list(NYUD), "seed": seed, "protocol": "validation", "status": "finished", "metrics": metrics}
    content |= {"delta_m": delta, "weights": {}, "seconds": 1.0, "directory": "runs/a"}
    return RunRow.model_validate(content)


def test_measured_stands_beside_published(tmp_path):
    config = PublishedConfig(table="paper_one_table2_nyud", rows={"model": "resnet-18"})
    # In the paper nash_mtl is better than cagrad, and cagrad than uniform.
    records = [record("uniform", -9.0), record("uniform", -11.0, 1), record("cagrad", 3.0), record("nash_mtl", 2.0)]
    table = beside_published([*records, record("edm", 1.0)], NYUD, {None: config})
    assert [row.name for row in table.rows] == ["uniform", "cagrad", "nash_mtl"]
    titles = [column.title for column in table.columns]
    values = dict(zip(titles, table.rows[0].values, strict=True))
    assert values["edge odsf"].mean == 50.5
    assert values["edge odsf published"].mean == 67.1
    assert values["delta_m %"].mean == -10.0
    assert values["difference"].mean == pytest.approx(-10.0 + 2.93, abs=0.01)
    assert any("3 methods" in note and "+0.33" in note for note in table.notes)
    table.write(tmp_path / "published.md")
    assert "resnet-18" in (tmp_path / "published.md").read_text()


def test_relative_changes_alone_are_compared_by_delta_m():
    config = PublishedConfig(table="paper_two_multimnist_cl_rr")
    table = beside_published([record("cagrad", -1.0)], {"CL.accuracy": True, "RR.mse": False}, {None: config})
    assert [column.title for column in table.columns] == ["delta_m %", "published", "difference"]
    assert any("too few methods" in note for note in table.notes)


def test_measured_and_published_are_over_the_same_metrics():
    config = PublishedConfig(table="paper_two_cityscapes_19c")
    main = {"seg.miou": True, "disparity.abs": False, "instance.abs": False}
    every = {"seg.miou": True, "seg.pixel_accuracy": True, "disparity.abs": False, "disparity.rel": False}
    every |= {"instance.abs": False}
    for directions, published, where in (
        (main, 0.095, "Guo et al. 2025, equation 5"),
        (every, 0.246, "Gama & Grassi 2025, section 5"),
    ):
        table = beside_published([record("edm", 1.0)], directions, {None: config})
        assert table.rows[0].values[1].mean == pytest.approx(published, abs=0.001)
        assert table.rows[0].values[2].mean == pytest.approx(1 - published, abs=0.001)
        assert any(note.startswith("Measured and published delta_m") and where in note for note in table.notes)


def test_the_tables_are_those_of_the_papers(shared_data):
    paths = sorted((shared_data / "paper").glob("*.csv"))
    assert len(paths) == 8
    for path in paths:
        theirs = list(csv.DictReader(path.read_text().splitlines()))
        ours = read(PublishedConfig(table=f"paper_one_{path.stem}"), {"seg.miou": True})
        assert {row["method"].replace("nashmtl", "nash_mtl") for row in theirs} == set(ours)
