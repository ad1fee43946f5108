"""The key of a run: what makes two runs the same.

A key is a readable prefix and a hash over everything that can change the result of a run:

- `SCHEMA_VERSION` and `RESULTS_VERSION`,
- the fingerprint of the dataset, so that changed data are noticed and moved data are not,
- the checksum of the file of pretrained weights, if there is one,
- the source text of every module that the recipe imports,
- the values of the configuration that differ from their defaults,
- the keys of the single-task networks that the run is compared with.

Paths are not part of a key, nor is anything in `_IRRELEVANT`. Without its data or weights, the key of a run is
incomplete: it is marked, and never matches a finished run.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from functools import cache
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from equipoise import balancing, data, models
from equipoise._core.files import write_json
from equipoise._core.imports import source_of
from equipoise._core.options import option_defaults, option_types
from equipoise._core.text import file_name
from equipoise.config import DataConfig, RunConfig, convert_options
from equipoise.data import DatasetError

SCHEMA_VERSION = 1
"""Version of the key. Raise it when the contents or the form of the key change; all runs are then made again."""

RESULTS_VERSION = 1
"""Version of the numbers. Raise it when the same configuration gives other numbers than before, or when a default
changes; all runs are then made again. `tests/studies/test_golden_run.py` fails if this was forgotten."""

_IRRELEVANT: Mapping[str, AbstractSet[str] | None] = {
    "imports": None,
    "data": {"root", "cache"},
    "model": {"pretrained"},
    "balancer": {"label", "grid", "fixed_from"},
    "training": {"accelerator", "workers", "probe"},
}
"""Keys of the configuration that do not enter the key of a run, by section; none stands for the whole section. Modules,
the data root and the path of pretrained weights are represented by source text, fingerprint and checksum."""

_INCOMPLETE = "incomplete"


class Fingerprints(BaseModel):
    """Fingerprints of the inputs of runs, computed once and kept; `fingerprints.json` in the directory of a study.

    With the fingerprints of the time when a study was made, its runs are found again without the data and the weights.

    Attributes:
        results_version: The `RESULTS_VERSION` at that time.
        datasets: Fingerprint by dataset (name, root and options as JSON).
        weights: Checksum by path.
    """

    results_version: int = RESULTS_VERSION
    datasets: dict[str, str] = {}
    weights: dict[str, str] = {}

    def of_dataset(self, config: DataConfig) -> str | None:
        """Return the fingerprint of a dataset; none if the data are not there."""
        name = _dataset_name(config)
        if name not in self.datasets:
            try:
                self.datasets[name] = _dataset_fingerprint(config)
            except (DatasetError, OSError):
                return None
        return self.datasets[name]

    def of_weights(self, path: str) -> str | None:
        """Return the checksum of a file of weights; none if it is not there."""
        if path not in self.weights:
            try:
                self.weights[path] = checksum(Path(path).expanduser())
            except OSError:
                return None
        return self.weights[path]

    def write(self, directory: Path) -> None:
        """Write the fingerprints into the directory of a study."""
        write_json(directory / _FILE, self.model_dump(mode="json"))

    @classmethod
    def read(cls, directory: Path) -> "Fingerprints":
        """Return the fingerprints in the directory of a study; empty ones if the file is missing or damaged."""
        try:
            return cls.model_validate(json.loads((directory / _FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError):
            return cls()


_FILE = "fingerprints.json"


def run_key(config: RunConfig, needs: Sequence[str] = (), fingerprints: Fingerprints | None = None) -> str:
    """Return the key of a run.

    Args:
        config: The run.
        needs: Keys of the single-task networks that it is compared with while it trains.
        fingerprints: Known fingerprints; what is missing is computed and added.

    Returns:
        Dataset, method, tasks and a digest, joined by `-`, and `incomplete` if the data or the weights are not there.
    """
    fingerprints = fingerprints or Fingerprints()
    dataset = fingerprints.of_dataset(config.data)
    pretrained = config.model.pretrained
    # A text is a path, `True` the published weights of the backbone.
    weights = fingerprints.of_weights(pretrained) if isinstance(pretrained, str) else pretrained
    content = {
        "schema": SCHEMA_VERSION,
        "results": fingerprints.results_version,
        "dataset": dataset,
        "weights": weights,
        "modules": source_of(config.imports),
        "config": changed_values(config),
        "needs": needs,
    }
    digest = sha256(_as_json(content).encode()).hexdigest()[:16]
    complete = dataset is not None and weights is not None and all(map(is_complete, needs))
    prefix = file_name("-".join((config.data.name, config.balancer.name, *config.tasks)))
    return f"{prefix}-{digest}" if complete else f"{prefix}-{digest}-{_INCOMPLETE}"


def is_complete(key: str) -> bool:
    """Whether a key was made with the data and the weights of the run, so that it can match a finished run."""
    return not key.endswith(f"-{_INCOMPLETE}")


def changed_values(config: RunConfig) -> dict[str, Any]:
    """Return the values of a run's configuration that differ from their defaults, without those in `_IRRELEVANT`.

    A value that is written out and equal to its default is left out, so that adding a field with a default changes no
    key. The same holds for the options of the dataset, the architecture and the balancing method.
    """
    values = _changed_fields(config, _IRRELEVANT)
    owners = {
        "data": (data.dataset_class(config.data.name), config.data.options),
        "model": (models.architecture_class(config.model.architecture), config.model.options),
        "balancer": (balancing.all_methods()[config.balancer.name], config.balancer.options),
    }
    for part, (owner, options) in owners.items():
        changed = {name: value for name, value in options.items() if not _is_default(owner, name, value)}
        values[part] = values.get(part, {}) | ({"options": changed} if changed else {})
    return values


def _changed_fields(value: BaseModel, exclude: Mapping[str, AbstractSet[str] | None]) -> dict[str, Any]:
    """Return the declared fields that differ from their defaults, in nested configurations too."""
    changed: dict[str, Any] = {}
    defaults = _default_fields(type(value))
    for name in type(value).model_fields:
        part, own = exclude.get(name, frozenset()), getattr(value, name)
        # Of one type: a share of 1.0 is another one than a count of 1.
        if part is None or (name in defaults and type(own) is type(defaults[name]) and own == defaults[name]):
            continue
        plain = _plain(own, part)
        if name not in defaults or _as_json(plain) != _as_json(_plain(defaults[name], part)):
            changed[name] = plain
    return changed


@cache
def _default_fields(section: type[BaseModel]) -> dict[str, Any]:
    return {
        name: field.get_default(call_default_factory=True)
        for name, field in section.model_fields.items()
        if not field.is_required()
    }


def _plain(value: Any, exclude: AbstractSet[str] = frozenset()) -> Any:
    """Return a value as JSON has it; a configuration or a dataclass as its values that differ from their defaults."""
    if isinstance(value, BaseModel):
        return {name: own for name, own in _changed_fields(value, {}).items() if name not in exclude}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: own
            for field in dataclasses.fields(value)
            if _as_json(own := getattr(value, field.name)) != _as_json(_default_of(field))
        }
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, AbstractSet):
        return sorted(value, key=_as_json)
    if isinstance(value, Enum):
        return value.value
    return value


def _default_of(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _as_json(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True, default=_plain)


def _is_default(owner: type, name: str, value: Any) -> bool:
    return _as_json(value) == _default_options(owner).get(name)


@cache
def _default_options(owner: type) -> dict[str, str]:
    """Return the defaults of the options of a class as JSON, each converted to the type that the class asks for."""
    types = option_types(owner)
    found = {}
    for name, default in option_defaults(owner).items():
        try:
            converted = convert_options(owner.__name__, types, {name: default})[name]
        except ValueError:
            # A default may be of another type, such as none for a choice that depends on other options.
            converted = default
        found[name] = _as_json(converted)
    return found


_datasets: dict[str, str] = {}
"""Fingerprints by dataset, root and options. Looking at every file takes time, so each is computed once a process."""


def forget_fingerprints() -> None:
    """Look at all data anew the next time a run is planned, for processes that last longer than one study."""
    _datasets.clear()


def _dataset_fingerprint(config: DataConfig) -> str:
    """Return the fingerprint of a dataset.

    Raises:
        DatasetError: The data are not there.
    """
    name = _dataset_name(config)
    if name not in _datasets:
        _datasets[name] = data.fingerprint(config.name, config.root, config.options)
    return _datasets[name]


def _dataset_name(config: DataConfig) -> str:
    return _as_json([config.name, config.root, config.options])


def checksum(path: Path) -> str:
    """Return the SHA-256 checksum of a file; it is read again only if its size or its date changes.

    Raises:
        OSError: The file cannot be read.
    """
    status = path.stat()
    return _checksum(path, status.st_size, status.st_mtime_ns)


@cache
def _checksum(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
