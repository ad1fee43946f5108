"""Reading of configurations from YAML files, plain data and the command line."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from equipoise._core.imports import UserModuleError
from equipoise.config.base import ConfigError, explain
from equipoise.config.parts import DataConfig

Config = TypeVar("Config", bound=BaseModel)


def load(path: Path, section: type[Config], overrides: Sequence[str] = ()) -> Config:
    """Read a configuration.

    Args:
        path: A YAML file. Files under its key `import` are relative to it.
        section: The class of the configuration.
        overrides: Changes such as `training.epochs=5`; values are YAML, list entries are named by their number. Files
            under `import` are relative to the working directory here.

    Raises:
        ConfigError: The file cannot be read, or does not describe a `section`; or a module that it imports is not there
            or raises an error.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"`{path}` cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"`{path}` is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"`{path}` should hold keys and values. Found {type(content).__name__}.")
    if "import" in content:
        content["import"] = _beside(path, content["import"])
    return parse(content, section, str(path), overrides)


def parse(content: Mapping[str, Any], section: type[Config], where: str, overrides: Sequence[str] = ()) -> Config:
    """Check plain data against a configuration class.

    Args:
        content: The data. They stay as they are.
        section: The class of the configuration.
        where: The origin of the data, for messages.
        overrides: Changes such as `training.epochs=5`.

    Raises:
        ConfigError: The data do not fit; every fault is named, unknown keys with the nearest valid one. Or a module
            that they import is not there or raises an error.
    """
    changed = copy.deepcopy(dict(content))
    for change in overrides:
        _override(changed, change)
    try:
        return section.model_validate(changed)
    except ValidationError as error:
        lines = (f"  {line}" for line in explain(error, section))
        raise ConfigError(f"`{where}` cannot be used:\n" + "\n".join(lines)) from error
    except UserModuleError as error:
        raise ConfigError(f"`{where}` cannot be used: {error}") from error


def dataset(name: str, root: Path | None, overrides: Sequence[str] = ()) -> DataConfig:
    """Read the configuration of a dataset from the command line.

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
    """Read options from the command line.

    Args:
        overrides: Options such as `cpus=4`; values are YAML.

    Raises:
        ConfigError: One has another form.

    Example:
        >>> options(["cpus=4", "sbatch.account=lab"])
        {'cpus': 4, 'sbatch': {'account': 'lab'}}
    """
    content: dict[str, Any] = {}
    for change in overrides:
        _override(content, change)
    return content


def _beside(path: Path, entries: Any) -> Any:
    """Return the entries of `import` with relative files relative to the recipe's place."""
    if isinstance(entries, str):
        entries = [entries]
    if not isinstance(entries, list):
        return entries
    return [
        str(path.parent / Path(entry).expanduser()) if isinstance(entry, str) and entry.endswith(".py") else entry
        for entry in entries
    ]


def _override(content: dict[str, Any], change: str) -> None:
    """Change plain data in place.

    Args:
        content: The content of a YAML file.
        change: A key, an equals sign and a value in YAML. Dots lead into mappings and, by number, into lists; missing
            mappings are made.

    Raises:
        ConfigError: The change has another form, or the key leads nowhere.

    Example:
        >>> content = {"balancers": ["uniform"]}
        >>> _override(content, "training.epochs=5")
        >>> _override(content, "balancers.0.every=10")
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
