"""Studies and runs as Python objects, and what is made from them: verdicts and the page."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import polars
import torch

from equipoise import report as reports
from equipoise import studies
from equipoise._core.errors import InputError, input_errors, require
from equipoise._core.text import choose, unknown
from equipoise.config import SINGLE, Recipe, RunConfig
from equipoise.config import load as load_config
from equipoise.diagnosis import Verdict
from equipoise.lab.network import TrainedNetwork
from equipoise.report.figures import draw_figures, is_complete, write_figure, write_folder
from equipoise.report.figures.gradients import study_verdict_figure, verdict_figure
from equipoise.report.html import write_page
from equipoise.report.predictions import predict_samples
from equipoise.studies.plan.planned_run import read_failure
from equipoise.studies.plan.scoring import validation_score
from equipoise.studies.results import diagnose as verdicts
from equipoise.studies.results.diagnose import StudyVerdict
from equipoise.studies.results.frames import directory_of
from equipoise.studies.results.groups import multi_task
from equipoise.studies.results.rows import results_frame
from equipoise.studies.results.study import RECIPE
from equipoise.training import read_result


@dataclass(frozen=True)
class Run:
    """A run, finished or not.

    Attributes:
        directory: Its directory.
        method: Label of the method; `single` for a single-task network of a study.
        tasks: The tasks that it is trained on.
        seed: The seed.
        status: `finished`, `failed`, or `missing` if it has not been run.
        metrics: By `task.metric` on the test split.
        weights: Mean loss weight by task.
        delta_m: Percent; `None` without single-task networks to compare with.
        variant: Label of the variant; `None` in a study without variants.
        error: Why it failed.
    """

    directory: Path
    method: str
    tasks: tuple[str, ...]
    seed: int
    status: str
    metrics: Mapping[str, float]
    weights: Mapping[str, float]
    delta_m: float | None = None
    variant: str | None = None
    error: str | None = None

    def model(self, device: torch.device | str | None = None) -> TrainedNetwork:
        """Return the network of the best checkpoint, in evaluation mode.

        Args:
            device: The device of the network; the CPU by default.

        Raises:
            ValueError: The run is not finished, or its checkpoint cannot be loaded.
        """
        return TrainedNetwork(self.directory, device)

    def verdict(self) -> Verdict:
        """Return which tasks are starved or dominate, and why.

        Raises:
            ValueError: The run has recorded no gradients.
        """
        return diagnose(self)


@dataclass(frozen=True, repr=False)
class Study:
    """A study in its present state, finished or not.

    Attributes:
        state: The plan and the rows of the study.
        interrupted: Whether Ctrl-C ended the call that made it.
        attempted: Number of runs that this call had to make.
    """

    state: studies.Study
    interrupted: bool = False
    attempted: int = 0

    def __repr__(self) -> str:
        finished = sum(run.status == "finished" for run in self.runs)
        return f"<Study {self.recipe.name}: {finished} of {len(self.runs)} runs are finished, in {self.directory}>"

    @property
    def directory(self) -> Path:
        """The directory of the study. The directories of its runs lie beside it, in `runs`."""
        return self.state.directory

    @property
    def recipe(self) -> Recipe:
        """The recipe."""
        return self.state.recipe

    @property
    def finished(self) -> bool:
        """Whether every run of the study is finished."""
        return bool(self.runs) and all(run.status == "finished" for run in self.runs)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs of the table, in their order."""
        return tuple(
            Run(
                directory=directory_of(row, self.state.root),
                method=row.balancer,
                tasks=row.tasks,
                seed=row.seed,
                status=row.status,
                metrics=row.metrics,
                weights=row.weights,
                delta_m=row.delta_m,
                variant=row.variant,
                error=row.error,
            )
            for row in self.state.rows
        )

    @property
    def results(self) -> polars.DataFrame:
        """A row a run, with a column for every metric and every weight, as in `results.parquet`."""
        return results_frame(self.state.rows)

    def table(self) -> reports.Table:
        """Return the main table: metrics, delta_m and weights of every method, means over seeds."""
        return reports.comparison(self.state.rows, self.state.directions)

    def certainty(self) -> reports.Table | None:
        """Return how certain the order of methods is; `None` with one seed, or fewer than two finished methods."""
        return reports.certainty(self.state.rows, self.state.directions)

    def published(self) -> reports.Table | None:
        """Return measured beside published numbers; `None` if the recipe names no published table."""
        rows = self.recipe.published_rows
        return reports.beside_published(self.state.rows, self.state.directions, rows) if rows else None

    def best(self, method: str | None = None, *, variant: str | None = None) -> Run:
        """Return the finished multi-task run with the best delta_m on validation.

        The first of equal runs is taken, and the first seed if there is no delta_m on validation.

        Args:
            method: The label of a method; all methods by default.
            variant: The label of a variant; all variants by default.

        Raises:
            ValueError: There is no such method or variant, or none of its runs is finished.
        """
        known = {row.balancer: row for row in multi_task(self.state.rows)}
        if method == SINGLE:
            raise InputError(f"`method` should be a multi-task method. Found `method = {SINGLE!r}`; see `Study.runs`.")
        if method is not None:
            choose("method", method, known)
        if variant is not None:
            choose("variant", variant, {row.variant: row for row in self.state.rows if row.variant is not None})
        scores: list[tuple[float, Run]] = []
        for planned, run in zip(self.state.planned, self.runs, strict=True):
            wanted = run.method != SINGLE and method in (None, run.method) and variant in (None, run.variant)
            if wanted and run.status == "finished":
                score = validation_score(planned, self.state.root)
                scores.append((-math.inf if score is None else score, run))
        if not scores:
            raise InputError(f"no multi-task run of `{method or self.recipe.name}` is finished in {self.directory}.")
        return max(scores, key=lambda scored: scored[0])[1]

    def verdicts(self) -> StudyVerdict:
        """Return the verdicts on the multi-task runs: which tasks are starved or dominate, and why."""
        return verdicts.diagnose_study(self.state)

    def write_tables(self) -> None:
        """Write `results.json`, `results.parquet` and all tables into the directory of the study."""
        directory, rows = self.directory, self.state.rows
        studies.write_results(rows, directory / "results.json")
        studies.write_parquet(rows, directory / "results.parquet")
        reports.write_figure(reports.relative_change(rows, self.state.directions), directory / "relative_change.png")
        for ending in (".md", ".csv", ".tex"):
            self.table().write(directory / f"table{ending}")
        for name, table in (("published", self.published()), ("certainty", self.certainty())):
            if table is not None:
                table.write(directory / f"{name}.md")
                table.write(directory / f"{name}.csv")

    def write_figures(self) -> tuple[int, float] | None:
        """Draw every figure into the folder `figures` of the study.

        Returns:
            The number of figures and the seconds that they took; `None` if all of them were there already.
        """
        folder, rows = self.directory / "figures", self.state.rows
        if not self.attempted and is_complete(rows, folder):
            return None
        started = time.monotonic()
        predictions = predict_samples(rows, self.state.root, images=2)
        count = write_folder(draw_figures(rows, self.state.root, predictions), rows, folder)
        return count, time.monotonic() - started


def load(path: Path | str) -> Study | Run:
    """Return a study or a run from its directory.

    Args:
        path: The directory of a study such as `studies/quickstart`, or of a run such as `studies/runs/KEY`.

    Raises:
        ConfigError: It is neither.
    """
    path = Path(path)
    if (path / RECIPE).exists() or not (path / "config.yaml").exists():
        return Study(studies.open_study(path))
    config, result, error = load_config(path / "config.yaml", RunConfig), read_result(path), read_failure(path)
    return Run(
        directory=path,
        method=config.balancer.title,
        tasks=config.tasks,
        seed=config.seed,
        status="finished" if result else "failed" if error else "missing",
        metrics=result.metrics if result else {},
        weights=result.weights if result else {},
        error=None if result else error,
    )


@overload
def diagnose(
    subject: Run, *, weights: Mapping[str, float] | None = None, figure: Path | str | None = None
) -> Verdict: ...
@overload
def diagnose(
    subject: Study, *, weights: Mapping[str, float] | None = None, figure: Path | str | None = None
) -> StudyVerdict: ...
@overload
def diagnose(
    subject: Path | str, *, weights: Mapping[str, float] | None = None, figure: Path | str | None = None
) -> Verdict | StudyVerdict: ...
def diagnose(
    subject: Study | Run | Path | str, *, weights: Mapping[str, float] | None = None, figure: Path | str | None = None
) -> Verdict | StudyVerdict:
    """Return which tasks are starved or dominate, since when, why, how certain that is, and which weights to try.

    Args:
        subject: A study or a run, its directory, or the Parquet file of a probe.
        weights: Static weights by task to compare with; other tasks have weight 1.
        figure: A file such as `verdict.png` for the figure of the verdict.

    Raises:
        ValueError: The path is none of these, nothing was recorded, or a weight is wrong.
    """
    path = subject.directory if isinstance(subject, Study | Run) else Path(subject)
    with input_errors():
        if weights:
            _check_weights(weights, path)
        found = verdicts.diagnose(path, {"given": weights} if weights else None)
    if figure is not None:
        study = isinstance(found, StudyVerdict)
        drawn = study_verdict_figure(found) if study else verdict_figure(found, verdicts.read_probe(path))
        write_figure(drawn, Path(figure))
    return found


def _check_weights(weights: Mapping[str, float], path: Path) -> None:
    if (path / RECIPE).exists():
        tasks = list(load_config(path / RECIPE, Recipe).tasks)
    else:
        tasks = verdicts.read_probe(path)["tasks"].explode().unique(maintain_order=True).to_list()
    for task, weight in weights.items():
        if task not in tasks:
            raise unknown("weights", task, tasks)
        require(math.isfinite(weight) and weight >= 0, f"weights[{task!r}]", weight, "be a finite number of at least 0")


def report(
    study: Study | Path | str,
    output: Path | str | None = None,
    *,
    progress: Callable[[str], None] = lambda step: None,
) -> Path:
    """Write the page of a study: one HTML file with its tables, charts, verdicts, predictions and figures.

    Args:
        study: The study, or its directory.
        output: The file; `report.html` in the study's directory by default.
        progress: Called with the name of each step.

    Returns:
        The path of the page.

    Raises:
        ConfigError: It is no directory of a study.
    """
    directory = study.directory if isinstance(study, Study) else Path(study)
    return write_page(studies.open_study(directory), None if output is None else Path(output), progress)
