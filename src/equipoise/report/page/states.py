"""How far every run of a study is."""

from dataclasses import dataclass

from equipoise.studies import PlannedRun, Record, Study
from equipoise.studies.tidy import directory_of
from equipoise.training import read_result
from equipoise.training.logs import read_log


@dataclass(frozen=True)
class RunState:
    """One run, for the list of runs.

    Attributes:
        variant: Of the study, if it has variants.
        method: Label of the method.
        tasks: What it is trained on.
        seed: Of the run.
        status: `finished`, `failed`, `begun` or `missing`.
        told: The same in words.
        epoch: Which epoch's checkpoint was chosen.
        delta: delta_m in percent.
        seconds: Time of the run.
        parameters: Of its network.
        directory: Its name below `runs`.
    """

    variant: str | None
    method: str
    tasks: str
    seed: int
    status: str
    told: str
    epoch: int | None
    delta: float | None
    seconds: float | None
    parameters: int | None
    directory: str


def run_states(study: Study) -> list[RunState]:
    """The runs of the table, in their order."""
    return [_state(study, run, record) for run, record in zip(study.planned, study.records, strict=True)]


def versions(study: Study) -> list[str]:
    """The software that the finished runs were made with; one line if it was the same for all."""
    results = (read_result(directory_of(record, study.root)) for record in study.records)
    found = (result.versions for result in results if result is not None)
    return list(dict.fromkeys(", ".join(f"{name} {version}" for name, version in one.items()) for one in found))


def _state(study: Study, run: PlannedRun, record: Record) -> RunState:
    directory = directory_of(record, study.root)
    result = read_result(directory)
    status, told = record.status, record.status
    if record.status == "failed":
        told = f"failed: {record.error}"
    elif record.status == "missing":
        epochs = max((line["epoch"] for line in read_log(directory)), default=0)
        status = "begun" if epochs or (directory / "config.yaml").exists() else "missing"
        told = f"begun: epoch {epochs} of {run.config.training.epochs} is done" if status == "begun" else "not begun"
    return RunState(
        variant=record.variant,
        method=record.balancer,
        tasks=", ".join(record.tasks),
        seed=record.seed,
        status=status,
        told=told,
        epoch=None if result is None else result.epoch,
        delta=record.delta_m,
        seconds=None if result is None else result.seconds,
        parameters=None if result is None else sum(result.parameters.values()),
        directory=directory.name,
    )
