"""The choice of where a dataset keeps its decoded files, and the cache directory."""

import hashlib
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal

import platformdirs
from torch import Tensor

from equipoise._core.version import __version__
from equipoise.data.core.dataset import Dataset
from equipoise.data.core.fingerprint import find_files
from equipoise.data.core.sample import DatasetError
from equipoise.data.storage.stores import Disk, MappedFile, Memory, Nothing, Store, build

Cache = Literal["auto", "disk", "memory", "none"]
"""Where decoded files are kept, see `store_for`."""

SMALL = 2**22
"""Bytes of decoded data that every process may keep a copy of."""


def cache_directory() -> Path:
    """Return the directory of files that can be made again: `$EQUIPOISE_CACHE`, else the platform's."""
    configured = os.environ.get("EQUIPOISE_CACHE")
    return Path(configured) if configured else platformdirs.user_cache_path("equipoise")


def store_for(
    dataset: Dataset,
    where: Cache,
    options: Mapping[str, Any],
    progress: Callable[[int, int], None] | None = None,
) -> Store:
    """Return the store of a dataset that has just been opened.

    Args:
        dataset: The dataset, with its final samples.
        where: `"memory"` keeps every decoded file in each process that decoded it. `"disk"` decodes all files now and
            writes them to the cache directory, from where all processes map them into memory; they are used again as
            long as the files of the dataset keep their sizes and dates. `"none"` keeps nothing. `"auto"` means memory
            if all decoded files are smaller than 4 MiB, disk if they fit into half of the free space there, and none
            otherwise.
        options: The options that the dataset was opened with. Other options may mean other contents.
        progress: Called with the number of decoded files and of all files of one kind.

    Raises:
        ValueError: `"disk"` is chosen, but samples are not made of tensors.
        OSError: `"disk"` is chosen, but the cache directory cannot be written.
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
    files = find_files(dataset.root, dataset.sources(dataset.root, options))
    state = _digest([__version__, _own_code(), _code_of(type(dataset)), files])
    keys = (dataset.input, *dataset.active_tasks)
    return Disk({key: _file(dataset, key, options, state, progress) for key in keys})


def _file(
    dataset: Dataset,
    key: str,
    options: Mapping[str, Any],
    state: str,
    progress: Callable[[int, int], None] | None,
) -> MappedFile:
    what = [dataset.name, str(dataset.root.absolute()), dataset.split, key, dict(options), dataset.identifiers]
    folder = cache_directory() / "decoded"
    # The name of a dataset that is not registered has dots and a colon.
    kept = f"{re.sub(r'[^a-zA-Z0-9_-]', '_', dataset.name)}-{dataset.split}-{_digest(what)}"
    path = folder / f"{kept}-{state}"

    def decode(identifier: str) -> Tensor:
        values = dataset.read(identifier, key)
        if not isinstance(values, Tensor):
            raise ValueError(f"`cache` should be 'memory' or 'none': `{key}` of {dataset.name!r} is no tensor.")
        return values

    file = build(path, dataset.identifiers, decode, progress)
    # Older results of the same files, from before the files or the code changed.
    for outdated in folder.glob(f"{kept}-*"):
        if outdated.stem != path.name:
            with suppress(OSError):
                outdated.unlink()
    return file


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


@cache
def _own_code() -> str:
    """Return a digest of the code that reads our datasets: other code may decode otherwise."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _code_of(dataset: type[Dataset]) -> list[str]:
    """Return the source of a dataset that is not ours, and of its bases."""
    found = []
    for base in dataset.__mro__:
        if issubclass(base, Dataset) and not base.__module__.startswith("equipoise."):
            loader = getattr(sys.modules.get(base.__module__), "__loader__", None)
            # A class that was typed into an interpreter has no source.
            with suppress(OSError, ImportError, AttributeError):
                found.append(loader.get_source(base.__module__))  # type: ignore[union-attr]
    return found
