"""The list of runs on the page, with the software that made them."""

from dataclasses import dataclass

from equipoise.studies import PlannedRun, RunRow, Study
from equipoise.studies.results.frames import directory_of
from equipoise.training import read_result
from equipoise.training.logs import read_log


@dataclass(frozen=True)
class RunState:
    """A run in the list.

    Attributes:
        variant: Label of the variant; `None` in a study without variants.
        method: Label of the method.
        tasks: The tasks that it is trained on.
        seed: The seed.
        status: `finished`, `failed`, `begun` or `missing`.
        description: The status in words.
        epoch: The epoch of the best checkpoint.
        delta: delta_m in percent.
        seconds: The time of the run.
        parameters: Number of parameters of its network.
        directory: The name of its directory below `runs`.
    """

    variant: str | None
    method: str
    tasks: str
    seed: int
    status: str
    description: str
    epoch: int | None
    delta: float | None
    seconds: float | None
    parameters: int | None
    directory: str


def run_states(study: Study) -> list[RunState]:
    """Return the runs of the main table, in their order."""
    return [_state(study, run, record) for run, record in zip(study.planned, study.rows, strict=True)]


def versions(study: Study) -> list[str]:
    """Return the software that the finished runs were made with: one line if all used the same."""
    results = (read_result(directory_of(record, study.root)) for record in study.rows)
    found = (result.versions for result in results if result is not None)
    return list(dict.fromkeys(", ".join(f"{name} {version}" for name, version in one.items()) for one in found))


def _state(study: Study, run: PlannedRun, record: RunRow) -> RunState:
    directory = directory_of(record, study.root)
    result = read_result(directory)
    status, description = record.status, record.status
    if record.status == "failed":
        description = f"failed: {record.error}"
    elif record.status == "missing":
        epochs = max((line["epoch"] for line in read_log(directory)), default=0)
        status = "begun" if epochs or (directory / "config.yaml").exists() else "missing"
        done = f"begun: epoch {epochs} of {run.config.training.epochs} is done"
        description = done if status == "begun" else "not begun"
    return RunState(
        variant=record.variant,
        method=record.balancer,
        tasks=", ".join(record.tasks),
        seed=record.seed,
        status=status,
        description=description,
        epoch=None if result is None else result.epoch,
        delta=record.delta_m,
        seconds=None if result is None else result.seconds,
        parameters=None if result is None else sum(result.parameters.values()),
        directory=directory.name,
    )
