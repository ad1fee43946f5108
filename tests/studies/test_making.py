"""Why a run has failed, as it is written down and read."""

from equipoise.config import Recipe
from equipoise.studies import collect, plan
from equipoise.studies.plan.planned_run import read_failure
from equipoise.studies.run.runner import write_failure


def test_why_a_run_failed_is_read_where_it_was_written(rooms, tmp_path):
    recipe = {"name": "tiny", "data": {"name": "rooms", "root": str(rooms)}, "tasks": ["seg"], "balancers": ["uniform"]}
    planned = plan(Recipe.model_validate(recipe))[:1]
    directory = planned[0].directory(tmp_path)
    assert read_failure(directory) is None
    write_failure(planned[0], tmp_path, "no memory")
    assert read_failure(directory) == "no memory"
    (record,) = collect(planned, tmp_path)
    assert (record.status, record.error) == ("failed", "no memory")
    for damaged in ("", '{"err', "{}"):
        (directory / "failure.json").write_text(damaged)
        assert read_failure(directory) is None
        assert collect(planned, tmp_path)[0].status == "missing"
