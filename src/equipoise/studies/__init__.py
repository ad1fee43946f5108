"""Studies: a matrix of runs, each known by what defines it, run once and collected into results."""

from equipoise.studies.execute import Event, execute, unfinished_runs
from equipoise.studies.matrix import PlannedRun, plan, run_directory
from equipoise.studies.published import read as read_published
from equipoise.studies.results import Record, collect, write_parquet, write_results

__all__ = [
    "Event",
    "PlannedRun",
    "Record",
    "collect",
    "execute",
    "plan",
    "read_published",
    "run_directory",
    "unfinished_runs",
    "write_parquet",
    "write_results",
]
