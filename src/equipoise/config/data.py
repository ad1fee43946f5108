"""Which dataset, and how much and what of it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from equipoise import data
from equipoise.config.strict import WithOptions
from equipoise.naming import unknown
from equipoise.tasks import Task


class DataConfig(WithOptions):
    """The dataset: its name, its directory, and the options of its class."""

    name: str
    root: str | None = None
    corrupt: data.Corruption | None = None
    """Makes training labels wrong, see `equipoise.data.Corruption`."""
    subset: data.Subset | None = None
    """Leaves training samples out, see `equipoise.data.Subset`."""
    on_error: data.OnError = "raise"
    """Whether samples with missing or damaged files are an error or left out, see `equipoise.data.create`."""
    cache: data.Cache = "auto"
    """Where decoded files are kept, see `equipoise.data.storage.caching`."""
    metrics: Literal["main", "all"] = Field(default="main", exclude_if=lambda metrics: metrics == "main")
    """Which metrics of a task stand in tables and in delta_m: the main one (P1, equation 5), or all, whose mean is that
    of the task (P2, section 5)."""

    @field_validator("root")
    @classmethod
    def _absolute(cls, root: str | None) -> str | None:
        # A run is known by what it is made from, which must not depend on where the command was called.
        return None if root is None else str(Path(root).expanduser().absolute())

    @model_validator(mode="after")
    def _known(self) -> "DataConfig":
        if self.name not in data.available():
            raise unknown("name", self.name, data.available())
        self._check(f"dataset `{self.name}`", data.options(self.name))
        return self

    def tasks(self, names: Sequence[str] | None = None) -> dict[str, Task]:
        """The tasks of the dataset with the given names, all by default."""
        found = data.tasks(self.name, names, root=self.root, **self.options)
        if self.metrics == "main":
            return found
        return {name: replace(task, every_metric=True) for name, task in found.items()}
