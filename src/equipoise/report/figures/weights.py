"""Figures of loss weights by epoch."""

from matplotlib.figure import Figure

from equipoise import figures
from equipoise._core.registry import register
from equipoise.report.figures.base import StudyFigure, StudyRuns, first_seed, seed_remark, unfinished_remark


@register("weights_per_epoch")
class WeightsPerEpoch(StudyFigure):
    """The weights of every method by epoch."""

    title = "Loss weights by epoch"
    caption = (
        "Light: the mean weights of an epoch, divided by their sum. Strong: their exponential moving average (momentum "
        "0.9) from the first epoch on. Its last value is what Gama & Grassi (2025) distil fixed weights from (figure "
        "6)."
    )
    order = 60

    def draw(self, runs: StudyRuns) -> Figure | None:
        """Draw it if a method has logged weights."""
        found = first_seed(runs.loss_weights())
        return None if found.is_empty() else figures.weights_per_epoch(found, tasks=runs.tasks)

    def remark(self, runs: StudyRuns) -> str:
        """Return which seeds are drawn."""
        return seed_remark(runs, first_seed(runs.loss_weights()))


@register("weight_error")
class WeightError(StudyFigure):
    """The distance of weights from equal ones."""

    title = "Distance of the weights from equal ones"
    caption = (
        "Mean over tasks of the distance between a task's share of the weights and 1/T, by epoch. With several seeds, "
        "bands are their range (Gama & Grassi 2025, figure 2). A method near zero weighs as the plain sum does, and "
        "ties with it. Many methods have a panel each, with the others in grey."
    )
    order = 70

    def draw(self, runs: StudyRuns) -> Figure | None:
        """Draw it if several tasks have weights."""
        found = runs.loss_weights()
        if found.is_empty() or found["task"].n_unique() < 2:
            return None
        return figures.weight_error(found if found["seed"].n_unique() > 1 else found.drop("seed"))

    def remark(self, runs: StudyRuns) -> str:
        """Return which methods are not finished."""
        return unfinished_remark(runs, runs.loss_weights()).strip()
