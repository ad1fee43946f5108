"""Finds the classes that live one to a file in a package: kinds of tasks here, datasets in :mod:`equipoise.data`."""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from functools import cache
from types import ModuleType
from typing import Any, TypeVar

import equipoise.tasks
from equipoise.tasks.base import Task

Found = TypeVar("Found")


def discover(package: ModuleType, base: type[Found]) -> dict[str, type[Found]]:
    """Import every module of ``package`` and return the concrete subclasses of ``base`` that they define.

    Args:
        package: The folder to look in (one level).
        base: The abstract class that marks what is looked for.

    Returns:
        The classes by the name of the file each was found in, in alphabetical order.

    Raises:
        TypeError: A file defines two such classes, so that its name does not say which is meant.
    """
    found: dict[str, type[Found]] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for _, member in inspect.getmembers(module, inspect.isclass):
            if not issubclass(member, base) or inspect.isabstract(member) or member.__module__ != module.__name__:
                continue
            if info.name in found:
                raise TypeError(
                    f"A file should define one {base.__name__}. Found `{found[info.name].__name__}` and "
                    f"`{member.__name__}` in `{module.__name__}`; move one to a file of its own."
                )
            found[info.name] = member
    return found


def unknown(argument: str, value: str, valid: Iterable[str]) -> ValueError:
    """Return the error for a name that is not among the valid ones, with the nearest of them as the fix.

    Examples:
        >>> unknown("split", "vall", ["train", "val"])
        ValueError("`split` should be one of train, val. Found `split = 'vall'`; did you mean 'val'?")
    """
    names = list(valid)
    nearest = difflib.get_close_matches(value, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else "."
    return ValueError(f"`{argument}` should be one of {', '.join(names)}. Found `{argument} = {value!r}`{hint}")


@cache
def _kinds() -> dict[str, type[Task]]:
    return discover(equipoise.tasks, Task)


def available() -> tuple[str, ...]:
    """Return the kinds of tasks there are.

    Examples:
        >>> "depth" in available()
        True
    """
    return tuple(_kinds())


def kind(name: str) -> type[Task]:
    """Return the class of a kind of task.

    Args:
        name: One of :func:`available`.

    Raises:
        ValueError: There is no such kind.
    """
    if name not in _kinds():
        raise unknown("kind", name, available())
    return _kinds()[name]


def create(kind_name: str, /, *, name: str, **fields: Any) -> Task:
    """Build a task from the name of its kind.

    Args:
        kind_name: One of :func:`available`.
        name: How the task is called in samples, predictions and tables.
        **fields: Further fields of the kind's class.

    Raises:
        ValueError: There is no such kind.

    Examples:
        >>> create("semantic_segmentation", name="seg", classes=("wall", "floor", "ceiling")).channels
        3
    """
    return kind(kind_name)(name=name, **fields)
