"""Which decoded files of a dataset are kept, and where."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal

import platformdirs
from torch import Tensor

from equipoise._core.version import __version__
from equipoise.data.core.dataset import Dataset
from equipoise.data.core.sample import DatasetError
from equipoise.data.storage.stores import Disk, MappedFile, Memory, Nothing, Store, build


def cache_directory() -> Path:
    """Return the directory of what can be made again: `$EQUIPOISE_CACHE`, else the platform's."""
    configured = os.environ.get("EQUIPOISE_CACHE")
    return Path(configured) if configured else platformdirs.user_cache_path("equipoise")


Cache = Literal["auto", "disk", "memory", "none"]
"""Where decoded files are kept, see :func:`store_for`."""

SMALL = 2**22
"""Bytes of decoded data that every process may well have a copy of."""


def store_for(
    dataset: Dataset,
    where: Cache,
    options: Mapping[str, Any],
    progress: Callable[[int, int], None] | None = None,
) -> Store:
    """Make the store of a dataset that has just been opened.

    Args:
        dataset: With the samples that it will give.
        where: ``"memory"`` keeps every file that has been decoded in each process that did. ``"disk"`` decodes all
            files now and writes them to the cache directory, from where all processes map them into memory; they are
            used again while the dataset's files have the same sizes and dates. ``"none"`` decodes again and again.
            ``"auto"`` is memory where all decoded files are smaller than 4 MiB, disk where they fit into half of what
            is free there, and none otherwise.
        options: What the dataset was opened with; other options may mean other contents.
        progress: Called with the number of files decoded and of all files of one kind.

    Raises:
        ValueError: ``"disk"`` is asked for and samples are not made of tensors.
        OSError: ``"disk"`` is asked for and the cache directory cannot be written.
    """
    if where == "auto":
        where = _fitting(dataset)
        if where == "disk":
            try:
                return _disk(dataset, options, progress)
            except OSError as error:
                logging.getLogger(__name__).warning("Decoded files are not kept: %s", error)
                where = "none"
    if where == "disk":
        return _disk(dataset, options, progress)
    return Memory() if where == "memory" and dataset.decodes else Nothing()


def _fitting(dataset: Dataset) -> Cache:
    if not dataset.decodes:
        return "none"
    for identifier in dataset.identifiers[:8]:
        with suppress(DatasetError):
            parts = dataset.decode(identifier).values()
            if not all(isinstance(part, Tensor) for part in parts):
                return "memory"
            size = sum(part.nbytes for part in parts) * len(dataset)
            if size <= SMALL:
                return "memory"
            return "disk" if size <= _free_space() / 2 else "none"
    return "none"


def _free_space() -> int:
    place = cache_directory()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _disk(dataset: Dataset, options: Mapping[str, Any], progress: Callable[[int, int], None] | None) -> Disk:
    state = _digest([__version__, _code(), _sources(dataset, options)])
    keys = (dataset.input, *dataset.active_tasks)
    return Disk({key: _file(dataset, key, options, state, progress) for key in keys})


def _sources(dataset: Dataset, options: Mapping[str, Any]) -> list[tuple[str, int, int] | None]:
    """Names, sizes and dates of the files of all tasks, active or not: labels may be drawn from those of others."""
    paths: set[Path] = set(dataset.described_by())
    for key in (dataset.input, *dataset.tasks(None, dataset.root, options)):
        for identifier in dataset.identifiers:
            with suppress(DatasetError):
                paths.add(dataset.file(identifier, key))
    return [_stat(path) for path in sorted(paths)]


def _file(
    dataset: Dataset,
    key: str,
    options: Mapping[str, Any],
    state: str,
    progress: Callable[[int, int], None] | None,
) -> MappedFile:
    what = [dataset.name, str(dataset.root.absolute()), dataset.split, key, dict(options), dataset.identifiers]
    folder = cache_directory() / "decoded"
    kept = f"{dataset.name}-{dataset.split}-{_digest(what)}"
    path = folder / f"{kept}-{state}"

    def decode(identifier: str) -> Tensor:
        values = dataset.read(identifier, key)
        if not isinstance(values, Tensor):
            raise ValueError(f"`cache` should be 'memory' or 'none': `{key}` of {dataset.name!r} is no tensor.")
        return values

    file = build(path, dataset.identifiers, decode, progress)
    # What the same files gave before they were changed, or before the code was.
    for outdated in folder.glob(f"{kept}-*"):
        if outdated.stem != path.name:
            with suppress(OSError):
                outdated.unlink()
    return file


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _stat(path: Path) -> tuple[str, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path), found.st_size, found.st_mtime_ns


@cache
def _code() -> str:
    """A digest of the code that reads datasets: other code may decode otherwise."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
