"""Every balancing method by its name, with the record that listings, help and tests are made from."""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from equipoise.balancing.context import Need
from equipoise.balancing.source import Source

if TYPE_CHECKING:
    from equipoise.balancing.balancer import Balancer


@dataclass(frozen=True)
class Method:
    """What is to be known of a method before it is used.

    Attributes:
        name: Its name in the registry.
        title: Its name in full.
        paper: Where it was published.
        sees: What it must see by default, hence what it costs.
        scale: The length of its update: what it makes of T identical tasks.
        heads: What a task's own parameters receive by default.
        state: What it remembers between steps.
        sources: Where each default comes from, by hyper-parameter.
        needs: What it needs by default beyond losses, features and the last layer.
        weighs: Whether its update is a weighted sum of the tasks' gradients, so that there are weights to tell.
    """

    name: str
    title: str
    paper: str
    sees: Source
    scale: str
    heads: str = "weighted"
    state: str = "none"
    sources: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    needs: frozenset[Need] = frozenset()
    weighs: bool = True


def hyper_parameters(method: "type[Balancer]") -> dict[str, Any]:
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


@cache
def all_methods() -> Mapping[str, "type[Balancer]"]:
    """All methods by name: every module of `balancing/methods` is imported, so that a new file is a new method."""
    from equipoise.balancing import methods as package
    from equipoise.balancing.balancer import Balancer

    found: dict[str, type[Balancer]] = {}
    for module in sorted(entry.name for entry in pkgutil.iter_modules(package.__path__)):
        contents = vars(importlib.import_module(f"{package.__name__}.{module}")).values()
        for item in contents:
            if inspect.isclass(item) and issubclass(item, Balancer) and "record" in vars(item):
                found[item.record.name] = item
    return MappingProxyType(found)


def available() -> tuple[str, ...]:
    """The names of all balancing methods.

    Example:
        >>> import equipoise
        >>> "avgnorm" in equipoise.available()
        True
    """
    return tuple(all_methods())


def create(name: str, **hyper: Any) -> "Balancer":
    """Make a balancer by its name.

    Args:
        name: One of `available()`.
        **hyper: Its hyper-parameters.

    Raises:
        ValueError: There is no such method or hyper-parameter (the nearest is named), or a value is out of range.

    Example:
        >>> import equipoise
        >>> equipoise.create("fixed", weights={"seg": 1.0, "edge": 50.0}).record.name
        'fixed'
    """
    if name not in all_methods():
        raise ValueError(_unknown("name", name, all_methods()))
    method = all_methods()[name]
    known = hyper_parameters(method)
    for key in hyper:
        if key not in known:
            raise ValueError(_unknown(f"hyper-parameter of {name}", key, known))
    missing = [key for key, default in known.items() if default is inspect.Parameter.empty and key not in hyper]
    if missing:
        raise ValueError(f"`{name}` needs `{missing[0]}`. Call `create({name!r}, {missing[0]}=...)`.")
    return method(**hyper)


def _unknown(what: str, found: str, known: Mapping[str, Any]) -> str:
    nearest = difflib.get_close_matches(found, known, n=1, cutoff=0.0)
    hint = f" Did you mean `{nearest[0]}`?" if nearest else ""
    listed = ", ".join(f"`{key}`" for key in known) or "none"
    return f"`{what}` should be one of {listed}. Found `{found}`.{hint}"
