"""A planned run of a study, and where its files are."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from equipoise.config import SINGLE, RunConfig
from equipoise.studies.plan.keys import is_complete, run_key
from equipoise.training import RunResult, read_result

FAILURE = "failure.json"
"""In the directory of a failed run: why it failed."""
IMPORTS = "imports"
"""In the directory of a study or a run: copies of the modules that its recipe imports."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study.

    Attributes:
        config: Configuration of the run.
        key: Key of the run, see `equipoise.studies.plan.keys`; equal runs of two studies are one run.
        title: Name of its method in tables; `single` for single-task networks.
        needs: Keys of the single-task runs that it is compared with while it trains.
        variant: Label of the variant of the study that it belongs to; none if the study has no variants.
        reference: Label of the variant whose single-task networks it is compared with in the end.
        chosen: Hyper-parameters that are its point of the grids, by key.
        trial: Whether it serves to choose hyper-parameters and is not in the table.
    """

    config: RunConfig
    key: str
    title: str
    needs: tuple[str, ...] = ()
    variant: str | None = None
    reference: str | None = None
    chosen: Mapping[str, Any] = field(default_factory=dict)
    trial: bool = False

    @property
    def name(self) -> str:
        """A name for people: variant, method, task of a single-task network, seed."""
        variant = f"{self.variant}, " if self.variant else ""
        task = f" {self.config.tasks[0]}" if self.title == SINGLE else ""
        trial = "trial, " if self.trial else ""
        return f"{variant}{self.title}{task} ({trial}seed {self.config.seed})"

    @property
    def is_complete(self) -> bool:
        """Whether its data and weights were there when it was planned; otherwise it matches no finished run."""
        return is_complete(self.key)

    def alone(self) -> "PlannedRun":
        """Return the run that is compared with no single-task networks, which is another run."""
        return replace(self, needs=(), key=run_key(self.config))

    def directory(self, root: Path) -> Path:
        """Return the directory of the run, below the directory that all studies share."""
        return run_directory(root, self.key)

    def result(self, root: Path) -> RunResult | None:
        """Return the result of the run; none if it is not finished."""
        return read_result(self.directory(root)) if self.is_complete else None


def run_directory(root: Path, key: str) -> Path:
    """Return the directory of the run with a key, below the directory that all studies share."""
    return root / "runs" / key


def read_failure(directory: Path) -> str | None:
    """Return why the run in a directory failed; none if it did not, or if the file is damaged or was just removed."""
    try:
        return json.loads((directory / FAILURE).read_text(encoding="utf-8"))["error"]
    except (OSError, ValueError, KeyError):
        return None
