"""What is wrong with a configuration, in words that name key, value and fix."""

import difflib
import inspect
import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError


class ConfigError(ValueError):
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
