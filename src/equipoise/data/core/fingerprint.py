"""The fingerprint of a dataset: it says which files there are, wherever they lie."""

import hashlib
import inspect
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from equipoise.data.core.sample import DatasetError

LISTS = frozenset({".csv", ".json", ".tsv", ".txt", ".yaml", ".yml"})
"""Endings of files that list or describe samples. Their content counts, not only their size."""

LARGEST_LIST = 2**24
"""Bytes above which only the size of such a file counts."""


class File(NamedTuple):
    """A file of a dataset.

    Attributes:
        path: Where it is.
        size: Its size in bytes.
        modified: When it was last changed, in nanoseconds.
    """

    path: str
    size: int
    modified: int


def find_files(root: Path, sources: Iterable[Path]) -> dict[str, File]:
    """Return the files of a dataset by their paths below `root`, with `/` between the parts, in sorted order.

    Hidden files and directories are left out. Links are followed.

    Args:
        root: The directory of the dataset.
        sources: Files, and directories of which all files count. A source that does not exist has no files.

    Raises:
        DatasetError: A directory cannot be read.
    """
    found: dict[str, File] = {}
    for source in sources:
        name = source.relative_to(root).as_posix() if source.is_relative_to(root) else source.name
        try:
            if source.is_file():
                found[name] = _file(str(source), source.stat())
            elif source.is_dir():
                found.update(_files_below(str(source), "" if name == "." else f"{name}/", frozenset()))
        except OSError as error:
            raise DatasetError(source, f"cannot be read ({error})") from error
    return dict(sorted(found.items()))


def digest(name: str, options: Mapping[str, Any], files: Mapping[str, File]) -> str:
    """Return the fingerprint of a dataset, 64 hexadecimal digits.

    Args:
        name: The name of the dataset.
        options: What else decides which samples there are.
        files: Its files, see `find_files`.

    Raises:
        DatasetError: A list cannot be read.
    """
    found = hashlib.sha256(json.dumps([name, options], sort_keys=True, default=str).encode())
    for name_below, file in files.items():
        found.update(b"\n%s\0%d" % (os.fsencode(name_below), file.size))
        if PurePath(name_below).suffix.lower() in LISTS and file.size <= LARGEST_LIST:
            try:
                found.update(hashlib.sha256(Path(file.path).read_bytes()).digest())
            except OSError as error:
                raise DatasetError(Path(file.path), f"cannot be read ({error})") from error
    return found.hexdigest()


def chosen_options(dataset: type[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that differ from their defaults and are no absolute paths.

    Args:
        dataset: The class of the dataset.
        options: Its options by name.
    """
    defaults = {
        name: _plain(parameter.default)
        for base in reversed(dataset.__mro__)
        if "__init__" in vars(base)
        for name, parameter in inspect.signature(vars(base)["__init__"]).parameters.items()
    }
    return {
        name: value
        for name, value in options.items()
        if not _is_absolute(value) and (name not in defaults or _plain(value) != defaults[name])
    }


def _files_below(directory: str, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, File]]:
    # A link may lead back to a directory above.
    status = Path(directory).stat()
    identity = status.st_dev, status.st_ino
    if identity in above:
        return
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _files_below(entry.path, f"{prefix}{entry.name}/", above | {identity})
            elif entry.is_file():
                yield f"{prefix}{entry.name}", _file(entry.path, entry.stat())


def _file(path: str, status: os.stat_result) -> File:
    return File(path, status.st_size, status.st_mtime_ns)


def _is_absolute(value: Any) -> bool:
    return isinstance(value, str | PurePath) and PurePath(value).is_absolute()


def _plain(value: Any) -> Any:
    """Turn a value into what JSON gives back, so that a list equals a tuple."""
    return json.loads(json.dumps(value, default=str))
