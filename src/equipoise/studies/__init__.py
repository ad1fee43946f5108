"""Studies: a matrix of runs, each known by what defines it, run once and collected into results."""

from equipoise.studies.plan.matrix import PlannedRun, plan, run_directory
from equipoise.studies.results.aggregate import RunRow, collect, write_parquet, write_results
from equipoise.studies.results.published import read as read_published
from equipoise.studies.results.study import Study, open_study, save_recipe
from equipoise.studies.run.execute import execute, unfinished_runs
from equipoise.studies.run.executors import Event

__all__ = [
    "Event",
    "PlannedRun",
    "RunRow",
    "Study",
    "collect",
    "execute",
    "open_study",
    "plan",
    "read_published",
    "run_directory",
    "save_recipe",
    "unfinished_runs",
    "write_parquet",
    "write_results",
]
