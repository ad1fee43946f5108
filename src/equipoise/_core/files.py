"""Files that are either as they were or wholly new, whenever the process is killed; and strict JSON."""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def replace(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file beside its place and move it there when it is complete and on the disk.

    Args:
        path: The place.
        write: Writes the file it is given, which has the ending of `path`.
    """
    beside = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        write(beside)
        # Otherwise the move may outlast a loss of power, and what was written not.
        with beside.open("rb+") as written:
            os.fsync(written.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def sweep(directory: Path) -> None:
    """Remove what killed processes left half-written in a directory that nobody else is writing to."""
    for abandoned in directory.glob(".partial-*"):
        abandoned.unlink(missing_ok=True)


def json_safe(content: Any) -> Any:
    """The content with none in place of NaN and infinite numbers, which JSON does not have.

    Examples:
        >>> json_safe({"a": [1.5, float("nan")]})
        {'a': [1.5, None]}
    """
    if isinstance(content, Mapping):
        return {key: json_safe(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [json_safe(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def write_text(path: Path, text: str) -> None:
    """Replace a text file."""

    def write(beside: Path) -> None:
        beside.write_text(text, encoding="utf-8")

    replace(path, write)


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file."""
    write_text(path, json.dumps(json_safe(content), indent=1) + "\n")
