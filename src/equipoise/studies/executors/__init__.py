"""Executors, which make the runs of a study somewhere: one file each, known by the name of its file."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from equipoise.config import converted_options
from equipoise.naming import choose, discover, option_types
from equipoise.studies.executor import Executor

__all__ = ["Executor", "available", "create"]


@cache
def _classes() -> dict[str, type[Executor]]:
    return discover(__name__, Executor)


def available() -> Sequence[str]:
    """The names of the executors.

    >>> available()
    ['local', 'ray', 'slurm']
    """
    return sorted(_classes())


def create(name: str, **options: Any) -> Executor:
    """Build an executor.

    Args:
        name: One of `available()`.
        options: The executor's own options, which are converted to the types that it asks for.

    Raises:
        MissingExtraError: It needs a package that is not installed.
        ValueError: There is no such executor, it has no such option, or its value is wrong.
    """
    executor = choose("executor", name, _classes())
    return executor(**converted_options(f"executor `{name}`", option_types(executor), options))
