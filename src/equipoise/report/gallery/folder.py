"""The figures of a study as files, with an index of what they show."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from equipoise.report.figures import write_figure
from equipoise.report.gallery.illustration import Illustration
from equipoise.studies import Record
from equipoise.training.files import strict, write_json

INDEX = "index.json"
"""Beside the figures: title and caption of each, and what they were drawn from."""


def write_folder(illustrations: Iterable[Illustration], records: Sequence[Record], directory: Path) -> int:
    """Write figures into a directory, and return how many; several processes may do so at once.

    Args:
        illustrations: The figures.
        records: The runs that they are drawn from.
        directory: For the files, made if it is not there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written = {}
    for one in illustrations:
        name = f"{one.name}.png"
        write_figure(one.figure, directory / name)
        written[name] = {"title": one.title, "caption": one.caption}
    # Last, and in one move: where a process is killed before, there is no index of these records.
    write_json(directory / INDEX, {"drawn_from": _digest(records), "figures": written})
    return len(written)


def is_complete(records: Sequence[Record], directory: Path) -> bool:
    """Whether a directory has every figure as it was drawn from these records.

    Args:
        records: The runs of a study as they are now.
        directory: Of `write_folder`.
    """
    try:
        index = json.loads((directory / INDEX).read_text(encoding="utf-8"))
        return index["drawn_from"] == _digest(records) and all((directory / name).exists() for name in index["figures"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _digest(records: Sequence[Record]) -> str:
    # A study may be moved.
    content = strict([record.model_dump(mode="json", exclude={"directory"}) for record in records])
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
