"""Every balancing method by its name."""

from collections.abc import Mapping
from typing import Any

from equipoise._core.text import unknown
from equipoise.balancing.balancer import Balancer, methods
from equipoise.balancing.hyper_parameters import hyper_parameters


def all_methods() -> Mapping[str, type[Balancer]]:
    """Return all methods by name, including those of users."""
    return methods


def available() -> tuple[str, ...]:
    """Return the names of all balancing methods.

    Example:
        >>> import equipoise
        >>> "avgnorm" in equipoise.available()
        True
    """
    return tuple(methods)


def create(name: str, **hyper: Any) -> Balancer:
    """Create a balancer by its name.

    Args:
        name: One of `available()`.
        **hyper: Hyper-parameters of the method.

    Raises:
        ValueError: There is no such method or hyper-parameter (the message names the nearest), or a value is wrong.

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
    missing = [key for key, declared in known.items() if declared.required and key not in hyper]
    if missing:
        raise ValueError(f"`{name}` needs `{missing[0]}`. Call `create({name!r}, {missing[0]}=...)`.")
    return method(**hyper)
