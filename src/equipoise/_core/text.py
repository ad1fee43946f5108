"""Texts that several rooms write: hints at the nearest name, errors for unknown names, durations."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


def hint(name: str, known: Iterable[str]) -> str:
    """A question after an unknown name, or nothing where no known name is like it.

    Examples:
        >>> hint("shard", ["shared", "mtan"])
        ' Did you mean `shared`?'
    """
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean `{nearest[0]}`?" if nearest else ""


def unknown(argument: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that is not among the known ones.

    Examples:
        >>> unknown("split", "vall", ["train", "val"])
        ValueError("`split` should be one of train, val. Found `split = 'vall'`. Did you mean `val`?")
    """
    known = list(known)
    listed = ", ".join(known)
    return ValueError(f"`{argument}` should be one of {listed}. Found `{argument} = {name!r}`.{hint(name, known)}")


def choose(argument: str, name: str, known: Mapping[str, T]) -> T:
    """`known[name]`.

    Raises:
        ValueError: There is no such name; the message lists what there is.
    """
    if name not in known:
        raise unknown(argument, name, known)
    return known[name]


def file_name(text: str) -> str:
    """Return a text as part of a file name: each run of other characters than letters, digits, `_`, `.`, `-` is a `_`.

    Example:
        >>> file_name("my_package.networks:MyNetwork")
        'my_package.networks_MyNetwork'
    """
    return re.sub(r"[^\w.-]+", "_", text)
