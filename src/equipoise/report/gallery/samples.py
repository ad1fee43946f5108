"""Figures of what networks predict, beside the labels."""

from collections.abc import Iterator

from equipoise import figures
from equipoise.report.gallery.illustration import Illustration
from equipoise.report.predicted import Predictions


def samples(predictions: Predictions) -> Iterator[Illustration]:
    """A figure for each sample."""
    for number, sample in enumerate(predictions.samples, 1):
        if sample.predictions:
            yield Illustration(
                f"predictions-{number}",
                "Predictions beside labels",
                f"Test sample {sample.identifier}: the image and its labels, and below them what the best checkpoint "
                "of each method predicts. Black or grey pixels have no label.",
                figures.predictions(sample.image, sample.labels, sample.predictions, title=sample.identifier),
            )
