"""Reads configurations: from YAML files, plain data and the command line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from equipoise.config.base import ConfigError, explanations
from equipoise.config.parts import DataConfig


def override(content: dict[str, Any], change: str) -> None:
    """Change plain data in place.

    Args:
        content: What a YAML file holds.
        change: A key, an equals sign and a value in YAML. Dots lead into mappings and, by number, into lists; mappings
            that are not there are made.

    Raises:
        ConfigError: It has another form, or the key leads nowhere.

    Example:
        >>> content = {"balancers": ["uniform"]}
        >>> override(content, "training.epochs=5")
        >>> override(content, "balancers.0.every=10")
        >>> content
        {'balancers': [{'name': 'uniform', 'every': 10}], 'training': {'epochs': 5}}
    """
    key, equals, text = change.partition("=")
    steps = key.strip().split(".")
    if not equals or not all(steps):
        raise ConfigError(f"`{change}` should have the form key.sub=value, such as training.epochs=5.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"`{change}` has a value that is not YAML: {text!r}. Put it in quotes?") from error
    place: Any = content
    for number, step in enumerate(steps):
        where = ".".join(steps[:number])
        if isinstance(place, list):
            if not step.isdecimal() or int(step) >= len(place):
                raise ConfigError(f"`{change}`: `{where}` has {len(place)} entries, counted from 0. Found `{step}`.")
            index: Any = int(step)
        elif isinstance(place, dict):
            index = step
            place.setdefault(step, None)
        else:
            raise ConfigError(f"`{change}`: `{where}` has no keys of its own.")
        if number == len(steps) - 1:
            place[index] = value
        elif place[index] is None:
            place[index] = {}
        elif isinstance(place, list) and isinstance(place[index], str):
            # A bare name in a list stands for a mapping with that name: `balancers.0.every=10`.
            place[index] = {"name": place[index]}
        place = place[index]


Config = TypeVar("Config", bound=BaseModel)


def load(path: Path, kind: type[Config], overrides: Sequence[str] = ()) -> Config:
    """Read a configuration.

    Args:
        path: A YAML file.
        kind: What it should be.
        overrides: Changes such as `training.epochs=5`; values are YAML, list entries are named by their number.

    Raises:
        ConfigError: The file cannot be read, or does not describe a `kind`.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"`{path}` cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"`{path}` is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"`{path}` should hold keys and values. Found {type(content).__name__}.")
    for change in overrides:
        override(content, change)
    return parse(content, kind, str(path))


def parse(content: Mapping[str, Any], kind: type[Config], where: str) -> Config:
    """Check plain data against a configuration class.

    Args:
        content: The data.
        kind: What it should be.
        where: What to call its origin in messages.

    Raises:
        ConfigError: It does not fit; every fault is named, unknown keys with the nearest valid one.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        lines = (f"  {line}" for line in explanations(error, kind))
        raise ConfigError(f"`{where}` cannot be used:\n" + "\n".join(lines)) from error


def dataset(name: str, root: Path | None, overrides: Sequence[str] = ()) -> DataConfig:
    """The configuration of a dataset from the command line.

    Args:
        name: The name of the dataset.
        root: Its directory.
        overrides: Options of the dataset such as `classes=7`; values are YAML.

    Raises:
        ConfigError: There is no such dataset or option.
    """
    content = {"name": name, "root": None if root is None else str(root)} | options(overrides)
    return parse(content, DataConfig, name)


def options(overrides: Sequence[str]) -> dict[str, Any]:
    """Options from the command line.

    Args:
        overrides: Options such as `cpus=4`; values are YAML.

    Raises:
        ConfigError: One has another form.

    >>> options(["cpus=4", "sbatch.account=lab"])
    {'cpus': 4, 'sbatch': {'account': 'lab'}}
    """
    content: dict[str, Any] = {}
    for change in overrides:
        override(content, change)
    return content
