"""Studies: a matrix of runs, each known by what defines it, run once and collected into results."""

from equipoise.studies.events import Event
from equipoise.studies.execute import execute, unfinished_runs
from equipoise.studies.matrix import PlannedRun, plan, run_directory
from equipoise.studies.published import read as read_published
from equipoise.studies.results import Record, collect, write_parquet, write_results
from equipoise.studies.saved import Study, open_study, save_recipe

__all__ = [
    "Event",
    "PlannedRun",
    "Record",
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
