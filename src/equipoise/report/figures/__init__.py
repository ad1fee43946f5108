"""Every figure that the runs of a study allow, with its title and what it shows in words."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from equipoise.report.figures.comparisons import comparisons, features, samples, weights
from equipoise.report.figures.gradients import gradients
from equipoise.report.figures.illustration import Illustration, is_complete, write_folder
from equipoise.report.predictions import Predictions
from equipoise.studies import RunRow

__all__ = ["Illustration", "gallery", "is_complete", "write_folder"]


def gallery(records: Sequence[RunRow], root: Path, predictions: Predictions | None = None) -> Iterator[Illustration]:
    """Draw every figure of the papers, and those beyond them, that the runs of a study allow.

    They are made one by one as they are asked for. One that cannot be made, since runs are missing, have failed or have
    not recorded what it needs, is left out. What a run has logged that is not finished is drawn as far as it goes.

    Args:
        records: The runs of a study.
        root: The directory that all studies share.
        predictions: What networks predict, to be drawn too; see `equipoise.report.predictions`.
    """
    yield from comparisons(records, root)
    if predictions is not None:
        yield from samples(predictions)
    yield from weights(records, root)
    yield from gradients(records, root)
    yield from features(records, root)
