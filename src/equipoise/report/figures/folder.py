"""The folder of a study's figures."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from equipoise._core.files import json_safe, replace, write_json
from equipoise.report.figures.base import DrawnFigure
from equipoise.studies import RunRow

INDEX = "index.json"
"""Beside the figures: the title and caption of each, and a digest of the runs that they were drawn from."""


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the ending of the path names."""
    replace(path, lambda beside: figure.savefig(beside, dpi=150))


def write_folder(drawn: Iterable[DrawnFigure], rows: Sequence[RunRow], directory: Path) -> int:
    """Write figures into a directory; several processes may do so at once.

    Args:
        drawn: The figures.
        rows: The runs that they are drawn from.
        directory: For the files. It is made if it is missing.

    Returns:
        The number of figures.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written = {}
    for one in drawn:
        name = f"{one.name}.png"
        write_figure(one.figure, directory / name)
        written[name] = {"title": one.title, "caption": one.caption}
    # Last, and in one move: if the process is killed before, there is no index for these runs.
    write_json(directory / INDEX, {"drawn_from": _digest(rows), "figures": written})
    return len(written)


def is_complete(rows: Sequence[RunRow], directory: Path) -> bool:
    """Return whether a directory holds every figure as it was drawn from these runs.

    Args:
        rows: The runs of a study as they are now.
        directory: A directory of `write_folder`.
    """
    try:
        index = json.loads((directory / INDEX).read_text(encoding="utf-8"))
        return index["drawn_from"] == _digest(rows) and all((directory / name).exists() for name in index["figures"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _digest(rows: Sequence[RunRow]) -> str:
    # A study may be moved: where its runs are does not count.
    content = json_safe([row.model_dump(mode="json", exclude={"directory"}) for row in rows])
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
