"""Studies: a matrix of runs, each known by a key, made once, and collected into results."""

from equipoise.studies.plan.keys import RESULTS_VERSION, SCHEMA_VERSION, run_key
from equipoise.studies.plan.matrix import count_runs, plan, prepare_data
from equipoise.studies.plan.planned_run import PlannedRun, run_directory
from equipoise.studies.results.aggregate import collect
from equipoise.studies.results.published import read as read_published
from equipoise.studies.results.rows import RunRow, write_parquet, write_results
from equipoise.studies.results.study import Study, open_study, save_recipe
from equipoise.studies.run.execute import execute, unfinished_runs
from equipoise.studies.run.executors import Event

__all__ = [
    "RESULTS_VERSION",
    "SCHEMA_VERSION",
    "Event",
    "PlannedRun",
    "RunRow",
    "Study",
    "collect",
    "count_runs",
    "execute",
    "open_study",
    "plan",
    "prepare_data",
    "read_published",
    "run_directory",
    "run_key",
    "save_recipe",
    "unfinished_runs",
    "write_parquet",
    "write_results",
]
