import pytest

from equipoise.config import Recipe
from equipoise.report.outlook import amount, duration, outlook, run_table
from equipoise.studies import plan
from equipoise.studies.estimate import cost_class, measure


@pytest.fixture
def planned(rooms):
    content = {
        "name": "tiny",
        "data": {"name": "rooms", "root": str(rooms)},
        "tasks": ["seg", "depth"],
        "model": {"backbone": "test_resnet", "decoder": "conv", "output_stride": 8},
        "training": {"epochs": 4, "batch_size": 3, "evaluate_every": 3},
        "balancers": ["uniform", "rlw", "cagrad", "fairgrad", "avgnorm", "url"],
        "seeds": [0, 1],
    }
    return plan(Recipe.model_validate(content))


def test_what_costs_the_same_is_measured_once(planned):
    kinds: dict[str, set[str]] = {}
    for run in planned:
        kinds.setdefault(cost_class(run.config), set()).add(run.title + "".join(run.config.tasks[1:]))
    methods = sorted(sorted(kind) for kind in kinds.values())
    assert methods == [
        ["avgnormdepth"], ["cagraddepth", "fairgraddepth"], ["rlwdepth", "uniformdepth"], ["single"], ["single"],
        ["urldepth"],
    ]  # fmt: skip


def test_a_run_is_measured(planned):
    run = next(run for run in planned if run.title == "url")
    cost = measure(run.config, threads=1)
    assert min(cost.step, cost.evaluation, cost.test) > 0
    # Adam keeps two numbers a parameter, and the checkpoint the network beside them.
    assert cost.passing > 2.5 * cost.kept > 1e5
    assert cost.memory > 1e7
    # Four epochs, and evaluations after the third and the last.
    expected = 4 * cost.steps * cost.step + 2 * cost.evaluation + cost.test
    assert cost.seconds(run.config) == pytest.approx(expected)


def test_the_outlook_adds_up_what_is_left(planned, tmp_path):
    cost = measure(planned[0].config, threads=1)
    costs = dict.fromkeys((run.key for run in planned), cost)
    one = cost.seconds(planned[0].config)
    lines = outlook(planned, tmp_path, costs, len(planned) + 4, jobs=2)
    assert lines[0] == f"{len(planned)} runs are known, 0 of them finished."
    assert lines[1].startswith("4 more follow")
    assert duration(one * len(planned) / 2) in lines[2]
    assert amount(2 * cost.memory) in lines[2]
    assert duration(one * (len(planned) + 4) / 2) in lines[3]
    assert len(outlook(planned, tmp_path, {}, len(planned), jobs=1)) == 1
    # One row a network: two single tasks and six methods, whatever the seeds.
    assert run_table(planned, tmp_path, costs).row_count == 8


@pytest.mark.parametrize(("seconds", "text"), [(3, "3 s"), (90, "1.5 min"), (7200, "2.0 h"), (14 * 86400, "14.0 days")])
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text
