"""Strategies of weight search: one file each, known by the name of its file."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from equipoise.naming import check_options, choose, discover, option_types
from equipoise.studies.search.strategy import Strategy


@cache
def _classes() -> dict[str, type[Strategy]]:
    return discover(__name__, Strategy)


def available() -> list[str]:
    """The names of the strategies.

    >>> available()
    ['avgnorm', 'coordinate', 'grid', 'random', 'tpe']
    """
    return sorted(_classes())


def create(name: str, tasks: Sequence[str], **options: Any) -> Strategy:
    """Build a strategy.

    Args:
        name: One of `available()`.
        tasks: What there are weights for.
        options: The strategy's own options.

    Raises:
        ValueError: There is no such strategy, it has no such option, or its value is wrong.
    """
    strategy = choose("strategy", name, _classes())
    check_options(f"Strategy `{name}`", option_types(strategy), options)
    return strategy(tasks, **options)
