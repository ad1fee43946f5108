"""Finding architectures and decoders by the files they live in, and checking the options they are given."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def discover(package: str, base: type[T]) -> dict[str, type[T]]:
    """Classes under `base` by the name of the file that defines them.

    Args:
        package: Dotted name of the folder. Every file in it that does not start with an underscore defines exactly one
            class under `base`.
        base: What the classes derive from.

    Raises:
        TypeError: If a file defines none or several of them.
    """
    found: dict[str, type[T]] = {}
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package}.{info.name}")
        classes = [
            value
            for value in vars(module).values()
            if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module.__name__
        ]
        if len(classes) != 1:
            names = ", ".join(found_class.__name__ for found_class in classes) or "none"
            raise TypeError(f"{module.__name__} should define exactly one {base.__name__}. Found {names}.")
        found[info.name] = classes[0]
    return found


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: ` Did you mean "shared"?`, or nothing where no known name is close.

    >>> nearest("shard", ["shared", "mtan"])
    ' Did you mean "shared"?'
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f' Did you mean "{close[0]}"?' if close else ""


def choose(argument: str, name: str, known: Mapping[str, T]) -> T:
    """`known[name]`, or an error that lists what there is.

    Raises:
        ValueError: If there is no such name.
    """
    if name not in known:
        raise ValueError(
            f"`{argument}` should be one of {sorted(known)}. Found `{argument} = {name!r}`.{nearest(name, known)}"
        )
    return known[name]


def option_names(constructor: type) -> list[str]:
    """The names of a constructor's keyword-only arguments."""
    parameters = inspect.signature(constructor).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]


def check_options(owner: str, constructor: type, options: Mapping[str, Any]) -> None:
    """See that a constructor takes these options, which are its keyword-only arguments.

    Raises:
        ValueError: If it does not know one of them.
    """
    known = option_names(constructor)
    for name in options:
        if name not in known:
            takes = f"takes the options {known}" if known else "takes no options"
            raise ValueError(f"{owner} {takes}. Found `{name} = {options[name]!r}`.{nearest(name, known)}")
