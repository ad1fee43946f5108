"""Verdicts on runs: on one directory, and on all runs of a study beside what single-task networks reached."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import polars
from pydantic import BaseModel, ConfigDict

from equipoise.config import SINGLE
from equipoise.diagnosis import Verdict, judge, read
from equipoise.metrics import delta_m
from equipoise.studies.results.aggregate import RunRow
from equipoise.studies.results.study import RECIPE, Study, open_study
from equipoise.studies.search import read_record
from equipoise.training.session import PROBE


class RunVerdict(BaseModel):
    """One multi-task run of a study.

    Attributes:
        variant: Of the study, if it has variants.
        balancer: The method's label.
        seed: Of the run.
        directory: Where it is.
        verdict: None where there are no records.
        missing: Why not.
        changes: By task, percent against the single-task networks, positive where better.
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
    """The runs of one method.

    Attributes:
        variant: Of the study, if it has variants.
        balancer: The method's label.
        runs: How many have records.
        statuses: How many runs have each status.
        causes: How many runs have each main cause.
        starved: In how many runs each task is starved.
        dominating: In how many runs each task dominates.
        shares: The share of the update of each task, mean over runs.
        changes: By task, percent against the single-task networks, mean over runs.
        text: In words, with whether the starved tasks are those that lost.
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
    """A study: its runs, and what they say of each method."""

    model_config = ConfigDict(frozen=True)

    name: str
    runs: tuple[RunVerdict, ...]
    methods: tuple[MethodVerdict, ...]
    version: int = 1

    def of_method(self, method: MethodVerdict) -> list[RunVerdict]:
        """The runs of a method."""
        return [run for run in self.runs if (run.variant, run.balancer) == (method.variant, method.balancer)]

    def telling(self, method: MethodVerdict) -> RunVerdict:
        """The run of a method that is told in full: the first with a verdict, if one has."""
        runs = self.of_method(method)
        return next((run for run in runs if run.verdict is not None), runs[0])


def diagnose(path: Path, candidates: Mapping[str, Mapping[str, float]] | None = None) -> Verdict | StudyVerdict:
    """The verdict on a run or a study.

    Args:
        path: The directory of a run (finished or not), that of a study, or a file that a probe has written.
        candidates: Further static weights to look at, by name.

    Raises:
        ValueError: It is none of these, or holds no records that can be read.
    """
    if (path / RECIPE).exists():
        return diagnose_study(open_study(path), candidates)
    return judge(recorded(path), candidates)


def recorded(path: Path) -> polars.DataFrame:
    """What the probe of a run has recorded, also of one that is still being made.

    Args:
        path: The directory of the run, or the probe's file.

    Raises:
        ValueError: It is neither, nothing was recorded, or the file is damaged.
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
    """The verdicts on the multi-task runs of a study, unfinished ones too.

    The weights of its runs with fixed weights are looked at in all others of their variant, under their label; those
    that `equipoise search` has found for a study without variants as `STRATEGY search`.

    Args:
        study: From `open_study`.
        candidates: Further static weights to look at, by name.
    """
    multi = [record for record in study.records if record.balancer != SINGLE and len(record.tasks) > 1]
    known = dict(candidates or {}) | _searched(study.directory)
    runs = []
    for record in multi:
        directory = Path(record.directory)
        if record.status == "finished" or (directory / PROBE).exists():
            runs.append(_run(record, study, known | _fixed(study, record.variant)))
    names = dict.fromkeys((run.variant, run.balancer) for run in runs)
    methods = [_method([run for run in runs if (run.variant, run.balancer) == name]) for name in names]
    return StudyVerdict(name=study.directory.name, runs=tuple(runs), methods=tuple(methods))


def _run(record: RunRow, study: Study, candidates: Mapping[str, Mapping[str, float]]) -> RunVerdict:
    verdict, missing = None, None
    try:
        verdict = judge(recorded(Path(record.directory)), candidates)
    except ValueError as error:
        missing = str(error)
    return RunVerdict(
        variant=record.variant,
        balancer=record.balancer,
        seed=record.seed,
        directory=record.directory,
        verdict=verdict,
        missing=missing,
        changes=_changes(record, study),
    )


def _fixed(study: Study, variant: str | None) -> dict[str, dict[str, float]]:
    """The weights of the runs of a variant with fixed ones, by label; one run stands for all seeds."""
    pairs = zip(study.planned, study.records, strict=True)
    fixed = [record for run, record in pairs if run.config.balancer.name == "fixed" and record.variant == variant]
    return {record.balancer: record.weights for record in fixed if record.status == "finished"}


def _searched(directory: Path) -> dict[str, dict[str, float]]:
    """The best weights of every strategy that was run on the study."""
    names = sorted(path.stem.removeprefix("search-") for path in directory.glob("search-*.json"))
    records = {name: read_record(directory, name) for name in names}
    return {
        f"{name} search": dict(record.best.weights)
        for name, record in records.items()
        if record is not None and record.best is not None
    }


def _changes(record: RunRow, study: Study) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for key, higher in study.directions.items():
        single = [
            other.metrics[key]
            for other in study.records
            if other.balancer == SINGLE and other.variant == record.reference and key in other.metrics
        ]
        own, base = record.metrics.get(key, math.nan), fmean(single) if single else math.nan
        if math.isfinite(own) and math.isfinite(base) and base > 0:
            found.setdefault(key.split(".")[0], []).append(delta_m({key: own}, {key: base}, {key: higher}))
    return {task: fmean(changes) for task, changes in found.items()}


def _method(runs: Sequence[RunVerdict]) -> MethodVerdict:
    verdicts = [run.verdict for run in runs if run.verdict is not None]
    changes = _means([run.changes for run in runs])
    starved = _count(task for verdict in verdicts for task in verdict.starved)
    return MethodVerdict(
        variant=runs[0].variant,
        balancer=runs[0].balancer,
        runs=len(verdicts),
        statuses=_count(verdict.status for verdict in verdicts),
        causes=_count(verdict.cause for verdict in verdicts if verdict.cause is not None),
        starved=starved,
        dominating=_count(task for verdict in verdicts for task in verdict.dominating),
        shares=_means([{row.task: row.share for row in verdict.tasks} for verdict in verdicts]),
        changes=changes,
        text=_text(verdicts, starved, changes),
    )


def _count(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names))


def _means(rows: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for row in rows:
        for task, value in row.items():
            if value is not None:
                values.setdefault(task, []).append(value)
    return {task: fmean(found) for task, found in values.items()}


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
