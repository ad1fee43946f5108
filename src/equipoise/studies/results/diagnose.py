"""Verdicts on one run, and on all runs of a study beside the results of single-task networks."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import polars
from pydantic import BaseModel, ConfigDict

from equipoise.diagnosis import Verdict, judge, read
from equipoise.metrics import delta_m
from equipoise.studies.results.groups import (
    by_method,
    finished,
    group,
    mean_by_key,
    mean_metrics,
    method_of,
    multi_task,
    single_task,
)
from equipoise.studies.results.rows import RunRow
from equipoise.studies.results.study import RECIPE, Study, open_study
from equipoise.studies.search import read_search, search_strategies
from equipoise.training.session import PROBE


class RunVerdict(BaseModel):
    """The verdict on one multi-task run of a study.

    Attributes:
        variant: Label of the variant of the study; none if it has no variants.
        balancer: Label of the method.
        seed: Seed of the run.
        directory: Directory of the run.
        verdict: The verdict; none if the run has recorded no gradients.
        missing: Why there is no verdict.
        changes: Change against the single-task networks by task, in percent, positive if better.
    """

    model_config = ConfigDict(frozen=True)

    variant: str | None
    balancer: str
    seed: int
    directory: str
    verdict: Verdict | None
    missing: str | None
    changes: dict[str, float]


class MethodVerdict(BaseModel):
    """The verdicts on the runs of one method, counted and averaged.

    Attributes:
        variant: Label of the variant of the study; none if it has no variants.
        balancer: Label of the method.
        runs: Number of runs that have recorded gradients.
        statuses: Number of runs by status.
        causes: Number of runs by main cause.
        starved: Number of runs in which a task is starved, by task.
        dominating: Number of runs in which a task dominates, by task.
        shares: Share of the update by task, mean over runs.
        changes: Change against the single-task networks by task, in percent, mean over runs.
        text: The same in words; it says whether the starved tasks are those that lost.
    """

    model_config = ConfigDict(frozen=True)

    variant: str | None
    balancer: str
    runs: int
    statuses: dict[str, int]
    causes: dict[str, int]
    starved: dict[str, int]
    dominating: dict[str, int]
    shares: dict[str, float]
    changes: dict[str, float]
    text: str


class StudyVerdict(BaseModel):
    """The verdicts on all multi-task runs of a study.

    Attributes:
        name: Name of the study's directory.
        runs: One verdict a run.
        methods: One verdict a method.
        version: Version of this format.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    runs: tuple[RunVerdict, ...]
    methods: tuple[MethodVerdict, ...]
    version: int = 1

    def of_method(self, method: MethodVerdict) -> list[RunVerdict]:
        """Return the runs of a method."""
        return by_method(self.runs)[method_of(method)]

    def representative(self, method: MethodVerdict) -> RunVerdict:
        """Return the run that stands for a method: the first with a verdict, else the first."""
        runs = self.of_method(method)
        return next((run for run in runs if run.verdict is not None), runs[0])


def diagnose(path: Path, candidates: Mapping[str, Mapping[str, float]] | None = None) -> Verdict | StudyVerdict:
    """Return the verdict on a run or a study.

    Args:
        path: The directory of a run, finished or not; the directory of a study; or a file that a probe has written.
        candidates: Further static weights to examine, by name.

    Raises:
        ValueError: The path is none of these, or no gradients were recorded.
    """
    if (path / RECIPE).exists():
        return diagnose_study(open_study(path), candidates)
    return judge(read_probe(path), candidates)


def read_probe(path: Path) -> polars.DataFrame:
    """Return the gradients that the probe of a run has recorded, also while the run goes on.

    Args:
        path: The directory of the run, or the probe's file.

    Raises:
        ValueError: The path is neither, nothing was recorded, or the file is damaged.
    """
    if path.is_file():
        return read(path)
    if (path / PROBE).exists():
        return read(path / PROBE)
    if (path / "config.yaml").exists():
        raise ValueError(
            f"`{PROBE}` should be in the directory of the run. Found none in {path}: nothing was recorded. Set "
            "`training.probe.every: 10` in the recipe (`training.probe: null` turns it off), remove the directory if "
            "the run is finished, and train again."
        )
    raise ValueError(
        "`RUN_OR_STUDY` should be the directory of a run such as studies/runs/KEY, the directory of a study that "
        f"`equipoise bench` has made such as studies/NAME, or a probe's Parquet file. Found `{path}`, "
        f"{'which is none of these' if path.exists() else 'which does not exist'}."
    )


def diagnose_study(study: Study, candidates: Mapping[str, Mapping[str, float]] | None = None) -> StudyVerdict:
    """Return the verdicts on the multi-task runs of a study, including unfinished ones.

    Two kinds of weights are examined in every run besides the candidates: those of the runs with fixed weights of the
    same variant, by their label; and those that `equipoise search` has found for a study without variants, as
    `STRATEGY search`.

    Args:
        study: From `open_study`.
        candidates: Further static weights to examine, by name.
    """
    known = dict(candidates or {}) | _searched_weights(study.directory)
    runs = [
        _run_verdict(row, study, known | _fixed_weights(study, row.variant))
        for row in multi_task(study.rows)
        if len(row.tasks) > 1 and (row.status == "finished" or (Path(row.directory) / PROBE).exists())
    ]
    methods = [_method_verdict(of_method) for of_method in by_method(runs).values()]
    return StudyVerdict(name=study.directory.name, runs=tuple(runs), methods=tuple(methods))


def _run_verdict(row: RunRow, study: Study, candidates: Mapping[str, Mapping[str, float]]) -> RunVerdict:
    verdict, missing = None, None
    try:
        verdict = judge(read_probe(Path(row.directory)), candidates)
    except ValueError as error:
        missing = str(error)
    return RunVerdict(
        variant=row.variant,
        balancer=row.balancer,
        seed=row.seed,
        directory=row.directory,
        verdict=verdict,
        missing=missing,
        changes=_changes(row, study),
    )


def _fixed_weights(study: Study, variant: str | None) -> dict[str, dict[str, float]]:
    """Return the weights of the runs of a variant with fixed weights, by label; one run stands for all seeds."""
    pairs = zip(study.planned, study.rows, strict=True)
    fixed = [row for run, row in pairs if run.config.balancer.name == "fixed" and row.variant == variant]
    return {row.balancer: row.weights for row in finished(fixed)}


def _searched_weights(directory: Path) -> dict[str, dict[str, float]]:
    """Return the best weights of every search on a study, by `STRATEGY search`."""
    found = {name: read_search(directory, name) for name in search_strategies(directory)}
    return {
        f"{name} search": dict(search.best.weights)
        for name, search in found.items()
        if search is not None and search.best is not None
    }


def _changes(row: RunRow, study: Study) -> dict[str, float]:
    """Return the change of every task against the single-task networks, in percent; a mean over several metrics."""
    single = mean_metrics(single_task(study.rows, row.reference))
    changes: dict[str, float] = {}
    for key, higher in study.directions.items():
        own, base = row.metrics.get(key, math.nan), single.get(key, math.nan)
        if math.isfinite(own) and math.isfinite(base) and base > 0:
            changes[key] = delta_m({key: own}, {key: base}, {key: higher})
    of_tasks = group(changes, lambda key: key.split(".")[0])
    return {task: fmean(changes[key] for key in keys) for task, keys in of_tasks.items()}


def _method_verdict(runs: Sequence[RunVerdict]) -> MethodVerdict:
    verdicts = [run.verdict for run in runs if run.verdict is not None]
    changes = mean_by_key(run.changes for run in runs)
    starved = _count(task for verdict in verdicts for task in verdict.starved)
    return MethodVerdict(
        variant=runs[0].variant,
        balancer=runs[0].balancer,
        runs=len(verdicts),
        statuses=_count(verdict.status for verdict in verdicts),
        causes=_count(verdict.cause for verdict in verdicts if verdict.cause is not None),
        starved=starved,
        dominating=_count(task for verdict in verdicts for task in verdict.dominating),
        shares=mean_by_key({row.task: row.share for row in verdict.tasks} for verdict in verdicts),
        changes=changes,
        text=_text(verdicts, starved, changes),
    )


def _count(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names))


def _text(verdicts: Sequence[Verdict], starved: Mapping[str, int], changes: Mapping[str, float]) -> str:
    if not verdicts:
        return "Nothing was recorded."
    sentences = []
    for task, runs in starved.items():
        where = "" if len(verdicts) == 1 else f" in {runs} of {len(verdicts)} runs"
        sentence = f"`{task}` is starved{where}"
        if task in changes:
            better = "better" if changes[task] >= 0 else "worse"
            sentence += f", and {abs(changes[task]):.1f} % {better} than in a network of its own"
        sentences.append(f"{sentence}.")
    if not starved:
        told = any(verdict.status in ("balanced", "unbalanced", "undecided") for verdict in verdicts)
        sentences.append("No task is surely starved." if told else verdicts[0].summary)
    lost = [f"`{task}`" for task, change in changes.items() if change < 0 and task not in starved]
    if lost:
        sentences.append(f"Worse than alone without being starved: {', '.join(lost)}.")
    return " ".join(sentences)
