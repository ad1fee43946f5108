"""Every balancing method by its name."""

import inspect
from collections.abc import Mapping
from typing import Any

from equipoise._core.text import unknown
from equipoise.balancing.balancer import Balancer, methods


def hyper_parameters(method: type[Balancer]) -> dict[str, Any]:
    """The keyword arguments of a method with their defaults; `inspect.Parameter.empty` where one must be given."""
    found: dict[str, Any] = {}
    for base in method.__mro__:
        initialiser = vars(base).get("__init__")
        if initialiser is None:
            continue
        parameters = list(inspect.signature(initialiser).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                found.setdefault(parameter.name, parameter.default)
        if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def all_methods() -> Mapping[str, type[Balancer]]:
    """All methods by name, those of users included."""
    return methods


def available() -> tuple[str, ...]:
    """The names of all balancing methods.

    Example:
        >>> import equipoise
        >>> "avgnorm" in equipoise.available()
        True
    """
    return tuple(methods)


def create(name: str, **hyper: Any) -> Balancer:
    """Make a balancer by its name.

    Args:
        name: One of `available()`.
        **hyper: Its hyper-parameters.

    Raises:
        ValueError: There is no such method or hyper-parameter (the nearest is named), or a value is out of range.

    Example:
        >>> import equipoise
        >>> equipoise.create("fixed", weights={"seg": 1.0, "edge": 50.0}).info.name
        'fixed'
    """
    method = methods[name]
    known = hyper_parameters(method)
    for key in hyper:
        if key not in known:
            raise unknown(f"hyper-parameter of {name}", key, known)
    missing = [key for key, default in known.items() if default is inspect.Parameter.empty and key not in hyper]
    if missing:
        raise ValueError(f"`{name}` needs `{missing[0]}`. Call `create({name!r}, {missing[0]}=...)`.")
    return method(**hyper)
