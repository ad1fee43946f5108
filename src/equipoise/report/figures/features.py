"""The figure of distances between shared features and those of single-task networks."""

from matplotlib.figure import Figure

from equipoise import figures
from equipoise._core.registry import register
from equipoise.report.figures.base import StudyFigure, StudyRuns, seed_remark


@register("feature_distance")
class FeatureDistance(StudyFigure):
    """The distance over steps, where it was recorded."""

    title = "Features beside those of single-task networks"
    caption = (
        "Squared L2 distance between the shared features and those of the task's own network (Guo et al. 2025, figure "
        "6). The shared features pass through an adaptor for each task that learns beside the training. The distance "
        "is 0 where directions agree and 2 where they have nothing in common. It starts high because the adaptors do."
    )
    order = 180

    def draw(self, runs: StudyRuns) -> Figure | None:
        """Draw it if a run has recorded distances."""
        found = runs.feature_distances()
        return None if found.is_empty() else figures.feature_distance(found, tasks=runs.tasks)

    def remark(self, runs: StudyRuns) -> str:
        """Return which seeds are drawn."""
        return seed_remark(runs, runs.feature_distances())
