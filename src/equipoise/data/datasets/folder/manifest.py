"""The manifest of the dataset `folder`: where its images and labels are, and what the labels mean."""

import csv
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from torch import Tensor

from equipoise import tasks
from equipoise._core.options import check_options
from equipoise.data.core.sample import DatasetError
from equipoise.data.storage.files import read_text
from equipoise.tasks import Task

NAMES = ("manifest.yaml", "manifest.yml", "manifest.csv")
"""The default names of a manifest."""

IMAGE, SPLIT = "image", "split"
"""The columns of a table that belong to no task."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Labels(BaseModel):
    """The labels of a task: where they are and how they are stored. Further keys are fields of the kind's class."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str
    """One of `equipoise.tasks.available()`."""
    labels: str | None = None
    """The directory, or the column of the table; the task's name by default."""
    factor: float | tuple[float, ...] | None = None
    """The factor of stored values, one number or one a channel."""
    shift: float | tuple[float, ...] | None = None
    """The number that is added then, one number or one a channel."""
    unlabelled: float | tuple[float, ...] = ()
    """Stored values that mean "no label"."""
    classes: tuple[str, ...] | dict[int, str] = ()
    """The names of the classes by their stored values; a list counts from 0. Values that a mapping lacks are
    no labels."""

    def task(self, name: str) -> Task:
        """Return the task.

        Raises:
            ValueError: There is no such kind, or it has no such field or value.
        """
        kind = tasks.kind(self.kind)
        given = dict(self.model_extra or {})
        check_options(f"Task kind `{self.kind}`", [field.name for field in fields(kind) if field.name != "name"], given)
        if self.classes:
            classes = tuple(self.classes.values() if isinstance(self.classes, dict) else self.classes)
            if len(set(classes)) < len(classes):
                raise ValueError(f"`classes` of `{name}` should have a name each. Found {', '.join(classes)}")
            given["classes"] = classes
        return TypeAdapter(kind).validate_python({"name": name, **given})

    def target(self, values: Tensor, task: Task) -> Tensor:
        """Return the target for the values of a label file, `[C, H, W]`.

        Raises:
            ValueError: The task cannot have values of this shape.
        """
        unknown = torch.zeros(values.shape[-2:], dtype=torch.bool)
        for value in self.unlabelled if isinstance(self.unlabelled, tuple) else (self.unlabelled,):
            unknown |= (values == value).all(dim=0)
        if isinstance(self.classes, dict):
            indices = torch.full_like(values, -1, dtype=torch.int64)
            for index, stored in enumerate(self.classes):
                indices[values == stored] = index
            unknown |= (indices < 0).all(dim=0)
            values = indices
        if self.factor is not None or self.shift is not None:
            factor, shift = (
                torch.tensor(default if number is None else number, dtype=torch.float32).reshape(-1, 1, 1)
                for number, default in ((self.factor, 1.0), (self.shift, 0.0))
            )
            values = values.float() * factor + shift
        return task.from_map(values).masked_fill(unknown, task.ignore)


class Splits(_Section):
    """The splits: lists of the samples' names, or shares of all samples."""

    train: str | None = None
    """A file with one name a line; with shares, all samples that are left."""
    val: float | str | None = None
    test: float | str | None = None
    seed: int = 0
    """The seed that chooses the samples if shares are given."""

    def lists(self) -> list[str]:
        """Return the names of the files that list samples."""
        return [name for name in (self.train, self.val, self.test) if isinstance(name, str)]

    @model_validator(mode="after")
    def _of_one_sort(self) -> Self:
        shares = [share for share in (self.val, self.test) if isinstance(share, float)]
        if shares and self.lists():
            raise ValueError("`splits` should hold shares for `val` and `test`, or lists for all; not both")
        if shares and not (min(shares) >= 0 and sum(shares) < 1):
            raise ValueError(f"the shares in `splits` should be 0 or more and leave something. Found {shares}")
        return self


class Manifest(_Section):
    """The content of a manifest."""

    images: str | None = None
    """The directory of the images or, with a table, the column with their paths (`image` by default)."""
    table: str | None = None
    """A CSV file with one row for each sample."""
    splits: Splits = Splits()
    tasks: dict[str, Labels] = Field(min_length=1)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.images is None and self.table is None:
            raise ValueError("`images`, the directory of the images, or `table` is missing")
        for name in self.tasks:
            # The image has its own place in a sample, and a dot ends a task's name in tables of scores.
            if name == IMAGE or "." in name:
                raise ValueError(f"a task should not be called {IMAGE!r} or have a dot in its name. Found {name!r}")
        return self

    def all_tasks(self) -> tuple[Task, ...]:
        """Return the tasks.

        Raises:
            ValueError: A kind or one of its fields is wrong.
        """
        return tuple(labels.task(name) for name, labels in self.tasks.items())


def find_manifest(root: Path, name: str | None) -> Path:
    """Return the path of a manifest: `name` below `root`, by default the first of `NAMES` that exists.

    Raises:
        DatasetError: There is none.
    """
    paths = [root / entry for entry in (NAMES if name is None else (name,))]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise DatasetError(paths[0], "is missing; docs/datasets.md says what to write there")
    return found


def read_manifest(path: Path) -> Manifest:
    """Return the content of a manifest, YAML or CSV.

    Raises:
        DatasetError: It cannot be read, or something in it is wrong.
    """
    try:
        content = _from_header(path) if path.suffix == ".csv" else yaml.safe_load(read_text(path))
        if not isinstance(content, dict):
            raise ValueError("it should say `images: ...` and `tasks: ...`; docs/datasets.md has examples")
        manifest = Manifest.model_validate(content)
        for task in manifest.all_tasks():
            if not task.dense and manifest.table is None:
                raise ValueError(f"`{task.name}` has one label for an image, which needs a `table`")
    except yaml.YAMLError as error:
        raise DatasetError(path, f"is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        faults = [f"`{'.'.join(map(str, fault['loc']))}`: {fault['msg']}" for fault in error.errors()]
        raise DatasetError(path, f"cannot be used: {'; '.join(faults)}") from error
    except ValueError as error:
        raise DatasetError(path, f"cannot be used: {error}") from error
    return manifest


def _from_header(path: Path) -> dict[str, Any]:
    """Return the manifest in the header of a table. The header of a column of labels is YAML, `name: {kind: ...}`."""
    found: dict[str, Any] = {}
    header = next(csv.reader(read_text(path).splitlines()), [])
    for cell in header:
        meaning = yaml.safe_load(cell)
        if isinstance(meaning, Mapping):
            for name, labels in meaning.items():
                found[str(name)] = {"labels": cell, **labels} if isinstance(labels, Mapping) else labels
    return {"table": path.name, "tasks": found}
