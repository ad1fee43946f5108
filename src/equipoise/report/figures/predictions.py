"""The figures of predictions beside labels, one for each test image."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from equipoise import figures
from equipoise._core.registry import register
from equipoise.report.figures.base import DrawnFigure, StudyFigure, StudyRuns


@register("predictions")
class PredictionFigures(StudyFigure):
    """A test image with its labels and the predictions of every method."""

    title = "Predictions beside labels"
    caption = (
        "The image and its labels, and below them the predictions of the best checkpoint of each method. Black or grey "
        "pixels have no label."
    )
    order = 50

    def draw(self, runs: StudyRuns) -> Figure | None:
        """Draw nothing for the runs as a whole."""
        return None

    def draw_all(self, name: str, study: StudyRuns) -> Iterator[DrawnFigure]:
        """Draw a figure for every image with predictions."""
        samples = () if study.predictions is None else study.predictions.samples
        for number, sample in enumerate(samples, 1):
            if sample.predictions:
                drawn = figures.predictions(sample.image, sample.labels, sample.predictions, title=sample.identifier)
                caption = f"Test sample {sample.identifier}. {self.caption}"
                yield DrawnFigure(f"{name}-{number}", self.title, caption, drawn)
