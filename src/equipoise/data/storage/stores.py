"""Stores for the decoded files of a dataset: none, the memory of a process, or memory-mapped files on disk."""

import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch
from filelock import FileLock
from torch import Tensor

from equipoise.data.core.sample import DatasetError

T = TypeVar("T")
R = TypeVar("R")

Read = Callable[[str, str], Any]
"""Decodes one part of a sample, given its identifier and key; the method `read` of a dataset."""

_Place = tuple[Tensor, tuple[int, ...], tuple[int, ...], int]
"""A whole file as a tensor of one type, and a tensor's shape, strides and offset in it."""

ALIGNMENT = 64
"""Tensors begin at multiples of this, as a view of any type needs."""


class Store(ABC):
    """Returns decoded files. A data loader sends it to its worker processes together with the dataset."""

    @abstractmethod
    def get(self, read: Read, identifier: str, key: str) -> Any:
        """Return one part of a sample. It may not be changed in place.

        Raises:
            DatasetError: The file is missing or damaged.
        """


class Nothing(Store):
    """Keeps nothing. A file is decoded whenever it is needed."""

    def get(self, read: Read, identifier: str, key: str) -> Any:
        """Read the part."""
        return read(identifier, key)


class Memory(Store):
    """Keeps decoded files in the memory of this process. Every worker process has its own copy."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Any] = {}

    def get(self, read: Read, identifier: str, key: str) -> Any:
        """Return the part, which is read only once."""
        place = identifier, key
        if place not in self._kept:
            self._kept[place] = read(identifier, key)
        return self._kept[place]

    def __getstate__(self) -> dict[str, Any]:
        # Sending it all to a worker would take longer than decoding what that worker needs.
        return {"_kept": {}}


class Disk(Store):
    """Takes decoded files from memory-mapped files, which all processes share.

    Args:
        files: The mapped file of every key.
    """

    def __init__(self, files: "Mapping[str, MappedFile]") -> None:
        self._files = files

    def get(self, read: Read, identifier: str, key: str) -> Any:
        """Return a view of the mapped file. A part that could not be decoded is read again, which raises its error."""
        found = self._files[key].get(identifier)
        return read(identifier, key) if found is None else found


class MappedFile:
    """Tensors by name in one file. The operating system keeps in memory what is in use.

    Args:
        path: The file, written by `build`, without its ending.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, _Place | None] | None = None

    def get(self, name: str) -> Tensor | None:
        """Return a tensor, a view of the file; none if it could not be decoded when the file was written."""
        if self._places is None:
            self._places = _map(self.path)
        place = self._places[name]
        return None if place is None else torch.as_strided(*place)

    def __getstate__(self) -> dict[str, Any]:
        # A worker process maps the file itself instead of receiving its content.
        return {"path": self.path, "_places": None}


def _map(path: Path) -> dict[str, _Place | None]:
    content = json.loads(path.with_suffix(".json").read_text())
    # A private mapping: what is written to a view by mistake never reaches the file.
    file = str(path.with_suffix(".bin"))
    everything = torch.from_file(file, shared=False, size=content["bytes"], dtype=torch.uint8)
    views: dict[str, Tensor] = {}
    places: dict[str, _Place | None] = {}
    for name, entry in content["tensors"].items():
        if entry is None:
            places[name] = None
            continue
        start, shape, kind = entry
        view = views.setdefault(kind, everything.view(getattr(torch, kind)))
        strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
        places[name] = view, tuple(shape), strides, start // view.itemsize
    return places


def build(
    path: Path,
    names: Sequence[str],
    decode: Callable[[str], Tensor],
    progress: Callable[[int, int], None] | None = None,
) -> MappedFile:
    """Write tensors to a file, or use the file that exists already.

    Several processes may build the same file: one works, the others wait and use the result. The file appears when it
    is complete. What a killed process left behind is overwritten by the next one.

    Args:
        path: The file, without its ending: `.bin` holds the tensors, `.json` the place of each.
        names: The names of the tensors.
        decode: Returns a tensor by its name. A name for which it raises a `DatasetError` is noted as missing.
        progress: Called with the number of tensors written and of all.

    Raises:
        OSError: The file cannot be written.
    """
    data, index = path.with_suffix(".bin"), path.with_suffix(".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    # The operating system frees this lock when its holder dies, so a killed process blocks nobody.
    with FileLock(path.with_suffix(".lock")):
        if not _is_complete(data, index):
            partial = path.with_suffix(".partial")
            try:
                content = _write(partial, names, decode, progress)
                partial.replace(data)
                partial.write_text(json.dumps(content))
                partial.replace(index)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
    return MappedFile(path)


def _is_complete(data: Path, index: Path) -> bool:
    with suppress(OSError, ValueError, KeyError):
        return data.stat().st_size == json.loads(index.read_text())["bytes"]
    return False


def _write(
    partial: Path,
    names: Sequence[str],
    decode: Callable[[str], Tensor],
    progress: Callable[[int, int], None] | None,
) -> dict[str, Any]:
    def attempt(name: str) -> Tensor | None:
        try:
            return decode(name).contiguous()
        except DatasetError:
            return None

    tensors: dict[str, tuple[int, list[int], str] | None] = {}
    with partial.open("wb") as file:
        for name, tensor in zip(names, threaded(attempt, names), strict=True):
            if tensor is None:
                tensors[name] = None
            else:
                tensors[name] = file.tell(), list(tensor.shape), str(tensor.dtype).removeprefix("torch.")
                file.write(tensor.view(-1).view(torch.uint8).numpy().data)
            # Never empty, since an empty file cannot be mapped.
            file.write(bytes(ALIGNMENT - file.tell() % ALIGNMENT))
            if progress is not None:
                progress(len(tensors), len(names))
        return {"bytes": file.tell(), "tensors": tensors}


def threaded(work: Callable[[T], R], items: Sequence[T]) -> Iterable[R]:
    """Call a function with every item in several threads. Results come in order, and only a few are computed ahead.

    Decoders of images let other threads work meanwhile.
    """
    threads = min(8, os.cpu_count() or 1)
    remaining = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        while window := list(islice(remaining, 16 * threads)):
            yield from pool.map(work, window)
