"""Base classes of the configuration, its error messages, and grids of values."""

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
    """A section of a configuration: unknown keys are errors, numbers are finite, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, serialize_by_alias=True)


class ClassConfig(BaseConfig):
    """A section that names a class, with the options of that class beside its own keys."""

    model_config = ConfigDict(extra="allow")

    @property
    def options(self) -> dict[str, Any]:
        """The options of the named class."""
        return dict(self.model_extra or {})

    def _convert_options(self, owner: str, types: Mapping[str, Any]) -> None:
        if self.model_extra:
            self.model_extra.update(convert_options(owner, types, self.options))


class ConfigError(InputError):
    """A configuration is wrong; the message names key, value and fix."""


def convert_options(owner: str, types: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Convert options of a class to the types that the class asks for.

    Args:
        owner: The class that takes the options; messages begin with it.
        types: The types of all its options by name.
        given: The given options.

    Raises:
        ValueError: There is no such option, or a value does not fit.

    Example:
        >>> convert_options("executor `ray`", {"cpus": int}, {"cpus": "2"})
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


def explain(error: ValidationError, section: type[BaseModel]) -> list[str]:
    """Return a sentence for each fault; an unknown key is followed by the nearest key of `section`."""
    valid = _keys(section)
    return [_explain_fault(fault, valid) for fault in error.errors(include_url=False)]


def _keys(section: type[BaseModel]) -> list[str]:
    """Return all keys of a section, nested ones with dots."""
    found = []
    for attribute, field in section.model_fields.items():
        name = field.serialization_alias or attribute
        found.append(name)
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            found += [f"{name}.{key}" for key in _keys(field.annotation)]
    return found


def _explain_fault(fault: Any, valid: Sequence[str]) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        # The same word in another section is a better guess than a similar word in this one.
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
    """Return all combinations of the values of a grid; for an empty grid, one without keys.

    Example:
        >>> grid_points({"a": (1, 2), "b": ("x",)})
        [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'x'}]
    """
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
