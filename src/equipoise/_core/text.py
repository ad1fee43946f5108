"""Texts that several rooms write: suggested names, errors for unknown names, durations."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


def hint(name: str, known: Iterable[str]) -> str:
    """Return a question that suggests a known name, or an empty string if none is similar.

    Args:
        name: The unknown name.
        known: The names there are.

    Example:
        >>> hint("shard", ["shared", "mtan"])
        ' Did you mean `shared`?'
    """
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean `{nearest[0]}`?" if nearest else ""


def unknown(argument: str, name: str, known: Iterable[str]) -> ValueError:
    """Return the error for a name that is not among the known ones.

    Args:
        argument: The argument that was given the name.
        name: The name.
        known: The names there are, in the order to list them.

    Example:
        >>> unknown("split", "vall", ["train", "val"])
        ValueError("`split` should be one of train, val. Found `split = 'vall'`. Did you mean `val`?")
    """
    known = list(known)
    listed = ", ".join(known)
    return ValueError(f"`{argument}` should be one of {listed}. Found `{argument} = {name!r}`.{hint(name, known)}")


def choose(argument: str, name: str, known: Mapping[str, T]) -> T:
    """Return `known[name]`.

    Args:
        argument: The argument that was given the name, for the message.
        name: The name to look up.
        known: The values by name.

    Raises:
        ValueError: There is no such name. The message lists the names there are.

    Example:
        >>> choose("split", "val", {"train": 0, "val": 1})
        1
    """
    if name not in known:
        raise unknown(argument, name, known)
    return known[name]


def duration(seconds: float) -> str:
    """Return a duration in the unit that reads best: seconds, minutes, hours or days.

    A unit is used from one and a half of it on.

    Args:
        seconds: The duration in seconds.

    Example:
        >>> duration(80), duration(90), duration(7200), duration(14 * 86400)
        ('80 s', '1.5 min', '2.0 h', '14.0 days')
    """
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def file_name(text: str) -> str:
    """Return a text as part of a file name: each run of other characters than letters, digits, `_`, `.`, `-` is a `_`.

    Example:
        >>> file_name("my_package.networks:MyNetwork")
        'my_package.networks_MyNetwork'
    """
    return re.sub(r"[^\w.-]+", "_", text)
