"""Registries: everything that a recipe can name, ours and the user's alike.

A class joins the registry of its base by a decorator:

    @equipoise.register("my_network")
    class MyNetwork(MultiTaskModel): ...

Our classes are found by importing a package, those of installed distributions by entry points, and a user's by the key
`import` of a recipe (see `equipoise._core.imports`). A class need not be registered to be named as
`my_package.module:MyNetwork`.
"""

import importlib
import inspect
import pkgutil
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, overload

from equipoise._core.imports import after_failure, import_module, module_of
from equipoise._core.text import unknown

T = TypeVar("T")
Class = TypeVar("Class", bound=type[Any])

_registries: "list[Registry[Any]]" = []


class UnknownNameError(ValueError, KeyError):
    """A registry holds no class of that name; a `KeyError` too, as mappings raise it."""

    # A `KeyError` would put the message in quotes.
    __str__ = Exception.__str__


class Registry(Mapping[str, type[T]], Generic[T]):
    """Classes of one kind by name, in alphabetical order.

    Nothing is imported before the first look-up. A look-up of `module:Class` imports the module and returns the class;
    only registered names are listed and counted.

    Args:
        kind: The kind, as messages call it.
        base: The class that they derive from.
        package: The package whose modules define our classes.
        group: The group of entry points by which other distributions add classes. An entry point names a class, or a
            module that registers its classes itself.
        name_of: Returns the name that a class itself declares; by default a class declares none, and is registered
            under its class name in snake case where no other name is given.
    """

    def __init__(
        self, kind: str, base: type[T], *, package: str, group: str, name_of: Callable[[type[T]], str] | None = None
    ) -> None:
        self.kind, self.base, self.group = kind, base, group
        self._package, self._name_of = package, name_of
        self._classes: dict[str, type[T]] = {}
        self._complete = False
        _registries.append(self)
        after_failure.append(self._forget_failed)

    def add(self, found: type[T], name: str | None = None) -> None:
        """Register a class.

        A class of the same module and name replaces its former version, as when a notebook's cell runs again.

        Args:
            found: A concrete class under `base`.
            name: Its name; made from the class if left out.

        Raises:
            ValueError: The class is abstract, the name is not a name, or another class has it.
        """
        if missing := _left_open(found):
            raise ValueError(f"{self.kind} `{found.__name__}` should define {missing}, which its base leaves open.")
        declared = _snake_case(found.__name__) if self._name_of is None else self._name_of(found)
        if self._name_of is not None and name not in (None, declared):
            raise ValueError(
                f"The {self.kind} `{found.__name__}` should be registered under the name that it declares, "
                f"`{declared}`. Found `{name}`."
            )
        name = name or declared
        # Directories are made from names, and a colon separates a module from a class.
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise ValueError(
                f"The name of a {self.kind} should consist of letters, digits, `_`, `-`, `+` and `.`. Found {name!r}."
            )
        if not f"{found.__module__}.".startswith(f"{self._package}."):
            # Ours come first: a user's class that takes one of our names is the one to refuse.
            self._import_ours()
        taken = self._classes.get(name)
        if taken is not None and _origin(taken) != _origin(found):
            raise ValueError(
                f"The {self.kind} name `{name}` is taken by `{_origin(taken)}`. "
                f"Register `{_origin(found)}` under another name."
            )
        self._classes[name] = found

    def __getitem__(self, name: str) -> type[T]:
        """Return the class with a name, or the one that `module:Class` names.

        Raises:
            UnknownNameError: There is none; the message lists the names and the nearest of them. It is a `ValueError`.
            ValueError: There is no such module, or no such class under `base` in it.
            UserModuleError: The module cannot be imported.
        """
        if ":" in name:
            return self._imported(name)
        self._load()
        if name not in self._classes:
            raise UnknownNameError(str(unknown(self.kind, name, sorted(self._classes))))
        return self._classes[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is a class of that name; for `module:Class` too, whose module is imported."""
        if isinstance(name, str) and ":" in name:
            try:
                return bool(self._imported(name))
            except (ValueError, ImportError):
                return False
        self._load()
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._classes))

    def __len__(self) -> int:
        self._load()
        return len(self._classes)

    def _load(self) -> None:
        # Without a lock, which could wait for Python's own locks on modules and these for it: threads that come here
        # together all load, and importing and adding twice changes nothing. `_complete` is set last, so an error leaves
        # nothing half-loaded.
        if self._complete:
            return
        self._import_ours()
        for point in entry_points(group=self.group):
            self._load_point(point)
        self._complete = True

    def _import_ours(self) -> None:
        for entry in pkgutil.iter_modules(importlib.import_module(self._package).__path__):
            importlib.import_module(f"{self._package}.{entry.name}")

    def _load_point(self, point: EntryPoint) -> None:
        try:
            found = point.load()
            if not inspect.ismodule(found) and not self._fits(found):
                raise ValueError(f"it should name a class under `{_path(self.base)}`, or a module that registers some")
            # A decorator may have registered the class already.
            if not inspect.ismodule(found) and found not in self._classes.values():
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
        found: Any = getattr(import_module(module), attribute, None)
        if not self._fits(found):
            raise ValueError(
                f"`{self.kind}` should be a name, or `module:Class` with a class under `{_path(self.base)}`. "
                f"Found `{self.kind} = {name!r}`, and {'no such attribute' if found is None else repr(found)}."
            )
        if missing := _left_open(found):
            raise ValueError(f"{self.kind} `{name}` should define {missing}, which its base leaves open.")
        return found

    def _forget_failed(self) -> None:
        self._classes = {name: found for name, found in self._classes.items() if found.__module__ in sys.modules}

    def _fits(self, found: Any) -> bool:
        return inspect.isclass(found) and issubclass(found, self.base)


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
        A method that a recipe names as `halves`:

            @equipoise.register("halves")
            class Halves(equipoise.WeightBalancer):
                info = equipoise.MethodInfo(name="halves", title="Halves", paper="none", scale="half of the plain sum")

                def weigh(self, inputs):
                    return torch.full_like(inputs.losses, 0.5)
    """
    if found is None or isinstance(found, str):
        return lambda decorated: _register(decorated, found)
    return _register(found, None)


def _register(found: Any, name: str | None) -> Any:
    fitting = [registry for registry in _registries if registry._fits(found)]
    if not fitting:
        bases = ", ".join(f"{registry.base.__name__} ({registry.kind})" for registry in _registries)
        raise TypeError(f"`register` should decorate a class under one of the bases {bases}. Found `{found!r}`.")
    # Should one base ever derive from another, the most derived one decides.
    max(fitting, key=lambda registry: len(registry.base.__mro__)).add(found, name)
    return found


def _left_open(found: type[Any]) -> str:
    """Name the abstract methods of a class."""
    return ", ".join(f"`{method}`" for method in sorted(getattr(found, "__abstractmethods__", ())))


def _origin(found: type[Any]) -> str:
    module = module_of(found)
    return f"{found.__module__ if module is None else module.name}:{found.__qualname__}"


def _path(found: type[Any]) -> str:
    return f"{found.__module__}.{found.__name__}"


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
