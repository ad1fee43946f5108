"""How the rows of a study are grouped: one order and one mean for tables, figures, page and verdicts."""

import pytest

from equipoise.config import SINGLE
from equipoise.studies import RunRow
from equipoise.studies.results.groups import (
    Method,
    by_method,
    by_seed,
    by_variant,
    delta_m_by_seed,
    finished,
    mean_metrics,
    multi_task,
    single_task,
    task_order,
)


def row(balancer="avgnorm", seed=0, variant=None, status="finished", delta_m=None, tasks=("seg", "depth"), **metrics):
    return RunRow(
        variant=variant,
        reference=variant,
        dataset="rooms",
        architecture="shared",
        backbone=None,
        balancer=balancer,
        tasks=tasks,
        seed=seed,
        protocol="validation",
        status=status,
        metrics=metrics,
        delta_m=delta_m,
        weights={},
        seconds=1.0,
        directory="studies/runs/key",
    )


def test_rows_of_a_method_are_together_in_the_order_of_the_study():
    rows = [row("uniform"), row("avgnorm"), row("uniform", seed=1), row("uniform", variant="small")]
    groups = by_method(rows)
    assert list(groups) == [(None, "uniform"), (None, "avgnorm"), ("small", "uniform")]
    assert groups[Method(None, "uniform")] == [rows[0], rows[2]]
    assert [method.title for method in groups] == ["uniform", "avgnorm", "small, uniform"]
    assert by_variant(rows) == {None: rows[:3], "small": rows[3:]}
    assert by_seed(rows) == {0: [rows[0], rows[1], rows[3]], 1: [rows[2]]}


def test_single_task_networks_are_told_from_methods():
    rows = [row(SINGLE, variant="a", tasks=("seg",)), row("uniform", variant="a"), row(SINGLE, variant="b")]
    assert single_task(rows, "a") == rows[:1]
    assert multi_task(rows) == rows[1:2]
    assert [method.is_single for method in by_method(rows)] == [True, False, True]


def test_means_leave_out_what_a_row_lacks():
    rows = [row(miou=1.0, rmse=4.0), row(miou=3.0), row(status="failed")]
    assert mean_metrics(rows) == {"miou": 2.0, "rmse": 4.0}
    assert finished(rows) == rows[:2]


def test_single_task_networks_of_a_seed_share_one_delta_m():
    rows = [row(delta_m=1.0), row(delta_m=4.0), row(seed=1), row(seed=2, delta_m=-1.0)]
    assert delta_m_by_seed(rows) == pytest.approx({0: 2.5, 2: -1.0})


def test_tasks_of_the_largest_network_come_first():
    assert task_order([row(tasks=("edge",)), row(tasks=("seg", "depth")), row(tasks=("depth",))]) == [
        "seg",
        "depth",
        "edge",
    ]
