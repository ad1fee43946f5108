"""Registries: everything a recipe can name, ours and the user's alike.

A class joins the registry of its base by a decorator:

    @equipoise.register("my_network")
    class MyNetwork(MultiTaskModel): ...

Ours are found by importing a package, other people's by entry points of installed distributions, a user's by the key
`import` of a recipe. `my_package.module:MyNetwork` names a class without registering it.
"""

import importlib
import inspect
import pkgutil
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from equipoise._core.text import unknown

T = TypeVar("T")
Class = TypeVar("Class", bound=type[Any])

_registries: "list[Registry[Any]]" = []


class Registry(Mapping[str, type[T]], Generic[T]):
    """Classes of one kind by name, in alphabetical order.

    Args:
        kind: The kind, as messages call it.
        base: The class that they derive from.
        package: The package whose modules define ours; imported at the first look-up.
        group: The entry points of other distributions.
        name_of: The name of a class that is registered without one; by default its class name in snake case.
    """

    def __init__(
        self, kind: str, base: type[T], *, package: str, group: str, name_of: Callable[[type[T]], str] | None = None
    ) -> None:
        self.kind, self.base, self.group = kind, base, group
        self._package = package
        self._name_of = name_of or (lambda found: _snake_case(found.__name__))
        self._classes: dict[str, type[T]] = {}
        self._loaded = False
        _registries.append(self)

    def add(self, found: type[T], name: str | None = None) -> None:
        """Register a class.

        Args:
            found: A concrete class under `base`.
            name: Its name.

        Raises:
            ValueError: The class is abstract, or another class has the name.
        """
        if inspect.isabstract(found):
            missing = ", ".join(f"`{method}`" for method in sorted(getattr(found, "__abstractmethods__", ())))
            raise ValueError(f"{self.kind} `{found.__name__}` should define {missing}, which its base leaves open.")
        name = name or self._name_of(found)
        taken = self._classes.get(name)
        # A module that is imported anew, as in a notebook, replaces its own classes.
        if taken is not None and _origin(taken) != _origin(found):
            raise ValueError(
                f"The {self.kind} name `{name}` is taken by `{':'.join(_origin(taken))}`. "
                f"Register `{':'.join(_origin(found))}` under another name."
            )
        self._classes[name] = found

    def __getitem__(self, name: str) -> type[T]:
        """The class with a name, or the one that `module:Class` means.

        Raises:
            ValueError: There is none; the message lists the names and the nearest of them.
        """
        if ":" in name:
            return self._imported(name)
        self._load()
        if name not in self._classes:
            raise unknown(self.kind, name, sorted(self._classes))
        return self._classes[name]

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._classes))

    def __len__(self) -> int:
        self._load()
        return len(self._classes)

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        for entry in pkgutil.iter_modules(importlib.import_module(self._package).__path__):
            importlib.import_module(f"{self._package}.{entry.name}")
        for point in entry_points(group=self.group):
            self._load_point(point)

    def _load_point(self, point: EntryPoint) -> None:
        try:
            found = point.load()
            if inspect.isclass(found) and issubclass(found, self.base) and found not in self._classes.values():
                self.add(found, point.name)
        except Exception as error:
            # A broken distribution of somebody else's must not keep everything else from working.
            owner = point.dist.name if point.dist is not None else point.value
            warnings.warn(
                f"The entry point `{point.name}` of `{owner}` in the group `{self.group}` is left out: "
                f"{type(error).__name__}: {error}",
                stacklevel=2,
            )

    def _imported(self, name: str) -> type[T]:
        module, _, attribute = name.partition(":")
        found = getattr(import_module(module), attribute, None)
        if not (inspect.isclass(found) and issubclass(found, self.base)) or inspect.isabstract(found):
            raise ValueError(
                f"`{self.kind}` should be a name or `module:Class` with a class that derives from "
                f"`{self.base.__module__}.{self.base.__name__}`. Found `{self.kind} = {name!r}`."
            )
        return found


@overload
def register(found: Class, /) -> Class: ...
@overload
def register(name: str | None = None, /) -> Callable[[Class], Class]: ...
def register(found: Any = None, /) -> Any:
    """Register a class by its base: a method, task, dataset, architecture, decoder, executor, strategy or figure.

    Args:
        found: The class; or its name, or nothing, to decorate a class.

    Returns:
        The class.

    Raises:
        TypeError: The class derives from none of the bases.
        ValueError: The class is abstract, or another class has the name.

    Example:
        >>> import equipoise
        >>> @equipoise.register("halves")
        ... class Halves(equipoise.WeightBalancer):
        ...     info = equipoise.MethodInfo(name="halves", title="Halves", paper="none", scale="half of the plain sum")
        ...
        ...     def weigh(self, inputs):
        ...         return inputs.losses.new_full((len(inputs.tasks),), 0.5)
        >>> equipoise.create("halves").info.title
        'Halves'
    """
    if not inspect.isclass(found):
        return lambda decorated: _register(decorated, found)
    return _register(found, None)


def _register(found: type[Any], name: str | None) -> type[Any]:
    # The most derived base decides, should one base ever derive from another.
    fitting = [registry for registry in _registries if inspect.isclass(found) and issubclass(found, registry.base)]
    if not fitting:
        bases = ", ".join(f"{registry.base.__name__} ({registry.kind})" for registry in _registries)
        raise TypeError(f"`{found!r}` should be a class under one of the bases {bases}.")
    max(fitting, key=lambda registry: len(registry.base.__mro__)).add(found, name)
    return found


def import_module(name: str) -> Any:
    """Import a module by its dotted name, also from the working directory.

    Raises:
        ValueError: There is no such module.
    """
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"There is no module `{name}` in the working directory {here!r} or among the installed packages."
        ) from error


def _origin(found: type[Any]) -> tuple[str, str]:
    return found.__module__, found.__qualname__


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
