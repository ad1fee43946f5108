"""Molecules that were read before: reading all of QM9 takes minutes."""

import hashlib
import json
import os
import tempfile
from collections import Counter
from dataclasses import fields
from pathlib import Path

import safetensors.torch
from filelock import FileLock

from equipoise.data.errors import DatasetError
from equipoise.data.molecules import sources
from equipoise.data.molecules.molecule import Molecules
from equipoise.data.storage.directory import cache_directory

VERSION = 1
"""Raised with every change of what is read, so that old files are not mistaken for new ones."""


def load(root: Path, progress: sources.Progress | None = None) -> Molecules:
    """Return the molecules of a directory; read once, and kept in the cache directory as plain tensors.

    What is kept is known by the names, sizes and times of change of the files. Several processes may call it: one
    reads, the others wait.

    Args:
        root: The directory, see :func:`equipoise.data.molecules.sources.files`.
        progress: Called with the number of molecules read and of all.

    Raises:
        DatasetError: There is no such dataset, or a file is damaged.
    """
    paths = sources.files(root)
    stamps = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    digest = hashlib.sha256(json.dumps([VERSION, stamps]).encode()).hexdigest()[:16]
    kept = cache_directory() / "qm9" / f"{digest}.safetensors"
    kept.parent.mkdir(parents=True, exist_ok=True)
    # The operating system frees this lock when its holder dies, so a killed process blocks nobody.
    with FileLock(kept.with_suffix(".lock")):
        if not kept.is_file():
            found = list(sources.read(paths, progress))
            if not found:
                raise DatasetError(paths[0], "has no molecule")
            ((number, times),) = Counter(number for number, *_ in found).most_common(1)
            if times > 1:
                raise DatasetError(paths[0], f"has, with what is beside it, the molecule {number} {times} times")
            _write(Molecules.joined(found), kept)
    return Molecules(**safetensors.torch.load_file(kept))


def _write(molecules: Molecules, path: Path) -> None:
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    os.close(handle)
    try:
        tensors = {field.name: getattr(molecules, field.name) for field in fields(molecules)}
        safetensors.torch.save_file(tensors, partial)
        Path(partial).chmod(0o644)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink()
        raise
