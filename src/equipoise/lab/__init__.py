"""The laboratory from Python: everything that the command `equipoise` does.

    from equipoise import lab

    study = lab.bench("recipes/quickstart.yaml", ["training.epochs=5"], progress=True)
    study.table()                       # prints in a terminal, and as HTML in a notebook
    study.results.to_pandas()           # a row a run
    network = study.best("avgnorm").model()
    study.verdicts()
    lab.report(study)

Nothing is printed unless `progress=True`. If you press Ctrl-C, the call returns what is finished, and its result says
`interrupted`. The same call continues from there.

It needs `pip install 'equipoise[lab]'`.
"""

try:
    from equipoise.config import ConfigError, Recipe
    from equipoise.lab.bench import DryRun, bench, dry_run, train
    from equipoise.lab.network import TrainedNetwork
    from equipoise.lab.search import WeightSearch, search
    from equipoise.lab.study import Run, Study, diagnose, load, report
    from equipoise.report.figures import StudyFigure, StudyRuns
    from equipoise.report.tables.table import Table
    from equipoise.studies import Event
except ModuleNotFoundError as error:
    if (error.name or "").startswith("equipoise"):
        raise
    from equipoise._core.errors import MissingExtraError

    raise MissingExtraError(
        f"`equipoise.lab` needs the package `{error.name}`. Install it: pip install 'equipoise[lab]'.", name=error.name
    ) from error

__all__ = [
    "ConfigError",
    "DryRun",
    "Event",
    "Recipe",
    "Run",
    "Study",
    "StudyFigure",
    "StudyRuns",
    "Table",
    "TrainedNetwork",
    "WeightSearch",
    "bench",
    "diagnose",
    "dry_run",
    "load",
    "report",
    "search",
    "train",
]
