"""What all parts of a configuration have in common: unknown keys are errors, and nothing changes once it is read."""

import difflib
import inspect
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from equipoise._core.errors import InputError
from equipoise._core.options import check_options


class BaseConfig(BaseModel):
    """Any part of a configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class WithOptions(BaseConfig):
    """Its own keys, and those of a class that it names; values are converted to the types that the class asks for."""

    model_config = ConfigDict(extra="allow")

    @property
    def options(self) -> dict[str, Any]:
        """The options of the named class."""
        return dict(self.model_extra or {})

    def _check(self, owner: str, types: Mapping[str, Any]) -> None:
        if self.model_extra:
            self.model_extra.update(converted_options(owner, types, self.options))


def converted_options(owner: str, types: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a class with their values converted to the types that it asks for.

    Args:
        owner: Whose options they are, as a message begins.
        types: The types of all options by name.
        given: The options.

    Raises:
        ValueError: There is no such option, or a value does not fit.

    >>> converted_options("executor `ray`", {"cpus": int}, {"cpus": "2"})
    {'cpus': 2}
    """
    check_options(owner, types, given)
    converted = {}
    for name, value in given.items():
        try:
            adapter = TypeAdapter(types[name], config={"arbitrary_types_allowed": True})
            converted[name] = adapter.validate_python(value)
        except ValidationError as error:
            message = error.errors(include_url=False)[0]["msg"]
            raise ValueError(f"{message[0].lower()}{message[1:]}. Found `{name} = {value!r}`") from error
    return converted


class ConfigError(InputError):
    """A configuration is wrong; the message names key, value and fix."""


def explanations(error: ValidationError, kind: type[BaseModel]) -> list[str]:
    """What is wrong, a sentence a fault; after an unknown key the nearest valid one of `kind`."""
    valid = _keys(kind)
    return [_explain(fault, valid) for fault in error.errors(include_url=False)]


def _keys(kind: type[BaseModel]) -> list[str]:
    """All keys of a configuration class, nested ones with dots."""
    found = []
    for name, field in kind.model_fields.items():
        found.append(name)
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            found += [f"{name}.{key}" for key in _keys(field.annotation)]
    return found


def _explain(fault: Any, valid: Sequence[str]) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        # The same word elsewhere is a better guess than a similar word here.
        same = [name for name in valid if name.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
        nearest = same or difflib.get_close_matches(key, valid, n=1, cutoff=0.0)
        return f"unknown key `{key}`; did you mean `{nearest[0]}`?"
    if fault["type"] == "missing":
        return f"`{key}` is missing"
    message = re.sub("tuple", "list", fault["msg"].removeprefix("Value error, "), flags=re.IGNORECASE).rstrip(".")
    if fault["type"] == "model_type":
        message = "should be a mapping of keys to values"
    found = fault["input"]
    own = fault["type"] == "value_error"
    shown = "" if own or isinstance(found, dict | list) else f". Found `{key} = {found!r}`"
    prefix = f"`{key}`: " if key else ""
    return f"{prefix}{message[0].lower()}{message[1:]}{shown}"


Grid = dict[str, tuple[Any, ...]]
"""Values to try by key."""


def grid_points(grid: Grid) -> list[dict[str, Any]]:
    """All combinations of the values of a grid; one without a key where the grid is empty.

    >>> grid_points({"a": (1, 2), "b": ("x",)})
    [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'x'}]
    """
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
