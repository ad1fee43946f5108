"""Figures of the task gradients that probes have recorded."""

import polars
from matplotlib.figure import Figure

from equipoise import figures
from equipoise._core.registry import register
from equipoise.diagnosis import Verdict, by_pair, by_step, by_task
from equipoise.report.figures.base import StudyFigure, StudyRuns, seed_remark, without_single
from equipoise.studies.results.diagnose import StudyVerdict
from equipoise.studies.results.groups import method_of

_UNIFORM = "uniform"


class GradientFigure(StudyFigure):
    """Base class of figures of recorded gradients; the caption names the seed."""

    def remark(self, runs: StudyRuns) -> str:
        """Return which seeds are drawn."""
        return seed_remark(runs, runs.gradients(by_task))


@register("gradient_norms")
class GradientNorms(GradientFigure):
    """The norm of each task's gradient, without and with its weight."""

    title = "Norms of the task gradients"
    caption = (
        "Above, the norm of each task's gradient where the probe measures, by default at the last shared layer. Below, "
        "the same times its weight: what enters the update (Guo et al. 2025, figures 8, 15, 16). A task whose curve "
        "lies far below the others' there is starved."
    )
    order = 80

    def draw(self, runs: StudyRuns) -> Figure | None:
        """Draw it if a probe has recorded anything."""
        found = runs.gradients(by_task)
        return None if found.is_empty() else figures.gradient_norms(found, tasks=runs.tasks)


@register("cosines_with_update")
class CosinesWithUpdate(GradientFigure):
    """The cosine of each task's gradient with the update."""

    title = "Cosine of each task with the update"
    caption = (
        "Above, the cosine between each task's gradient and the update (Guo et al. 2025, figures 7, 9, 14), with the "
        "line at 1/sqrt(T) where T orthogonal gradients of equal norms lie. Below, what takes their mean off that "
        "line: the balance of norms (1 where contributions are equally long) and the alignment of directions (above 1 "
        "where tasks agree, below where they conflict)."
    )
    order = 90

    def draw(self, runs: StudyRuns) -> Figure | None:
        """Draw it if several tasks were trained together."""
        found = _tasks_together(runs)
        return None if found is None else figures.cosines_with_update(found, tasks=runs.tasks)


@register("update_share")
class UpdateShare(GradientFigure):
    """The share of the update that each task owns."""

    title = "Share of the update that each task owns"
    caption = (
        "The part of the update's squared length that comes from each task; below zero where the update goes against "
        "it."
    )
    order = 100

    def draw(self, runs: StudyRuns) -> Figure | None:
        """Draw it if several tasks were trained together."""
        found = _tasks_together(runs)
        return None if found is None else figures.update_share(found, tasks=runs.tasks)


class MultiTaskFigure(GradientFigure):
    """Base class of figures of the gradients of multi-task networks alone."""

    def parts(self, study: StudyRuns) -> list[StudyRuns]:
        """Return the multi-task networks of every variant."""
        return study.multi_task.variants


@register("mean_cosine_of_methods")
class MeanCosineOfMethods(MultiTaskFigure):
    """The mean cosine of task gradients, by method."""

    title = "Mean cosine of task gradients"
    caption = (
        "The mean over tasks of the cosine between a task's gradient and the sum of all (Gama & Grassi 2025, figure "
        "3a), beside the dashed line at 1/sqrt(T), where orthogonal gradients of equal norms lie. Many methods have a "
        "panel each, with the others in grey."
    )
    order = 110

    def draw(self, runs: StudyRuns) -> Figure | None:
        """Draw it if a probe has recorded anything."""
        found = runs.gradients(by_step)
        return None if found.is_empty() else figures.mean_cosine(found)


@register("pairwise_cosines")
class PairwiseCosines(MultiTaskFigure):
    """The cosine of every two task gradients."""

    title = "Cosines between task gradients"
    caption = (
        "A panel a task: its cosine with every other one (Guo et al. 2025, figures 10, 11); below zero they conflict."
    )
    order = 120

    def draw(self, runs: StudyRuns) -> Figure | None:
        """Draw it if several tasks were trained together."""
        found = runs.gradients(by_pair)
        return None if found.is_empty() else figures.pairwise_cosines(found, tasks=runs.tasks)


@register("pairwise_dots")
class PairwiseDots(MultiTaskFigure):
    """The inner product of every two task gradients."""

    title = "Dot products of task gradients"
    caption = (
        "A panel a task: its inner product with every other one (Guo et al. 2025, figures 12, 13), on an axis that is "
        "logarithmic on both sides of zero."
    )
    order = 130

    def draw(self, runs: StudyRuns) -> Figure | None:
        """Draw it if several tasks were trained together."""
        found = runs.gradients(by_pair)
        return None if found.is_empty() else figures.pairwise_dots(found, tasks=runs.tasks)


@register("gradient_matrix")
class GradientMatrix(MultiTaskFigure):
    """Singular values, condition number, similarity of norms and conflicts."""

    title = "The task gradients as a matrix"
    caption = (
        "Singular values and condition number of the matrix of task gradients, the similarity of their norms (1 where "
        "equal) and the share of pairs that conflict; in grey those of the other methods."
    )
    order = 140

    def draw(self, runs: StudyRuns) -> Figure | None:
        """Draw it if several tasks were trained together."""
        pairs = runs.gradients(by_pair)
        return None if pairs.is_empty() else figures.gradient_matrix(runs.gradients(by_step), pairs)


@register("mean_cosine")
class MeanCosine(StudyFigure):
    """The mean cosine of the plain sum, a curve a variant."""

    title = "Mean cosine of task gradients, variant by variant"
    caption = (
        "The plain sum in every variant (Gama & Grassi 2025, figure 7). Curves are to be compared with the dashed line "
        "at 1/sqrt(T), where orthogonal gradients of equal norms lie whatever the network."
    )
    order = 150

    def parts(self, study: StudyRuns) -> list[StudyRuns]:
        """Return the whole study."""
        return [study]

    def draw(self, runs: StudyRuns) -> Figure | None:
        """Draw it if the plain sum was recorded in several variants."""
        found = [(part.variant or "", part.gradients(by_step)) for part in runs.multi_task.variants]
        plain = [
            frame.filter(method=_UNIFORM).with_columns(method=polars.lit(label))
            for label, frame in found
            if not frame.is_empty()
        ]
        drawn = [frame for frame in plain if not frame.is_empty()]
        return figures.mean_cosine(polars.concat(drawn)) if len(drawn) > 1 else None


def _tasks_together(runs: StudyRuns) -> polars.DataFrame | None:
    """Return the gradients of multi-task networks; `None` if fewer than two tasks were recorded."""
    found = runs.gradients(by_task)
    if found.is_empty():
        return None
    multi = without_single(found)
    return multi if multi["task"].n_unique() > 1 else None


def verdict_figure(verdict: Verdict, recorded: polars.DataFrame) -> Figure:
    """Draw the share of each task in the update over training, and its share under other weights.

    Args:
        verdict: The verdict.
        recorded: The records that it was made from, as of `Probe.recorded` or `equipoise.diagnosis.read`.
    """
    return figures.verdict_overview(by_task(recorded), verdict.to_frame())


def study_verdict_figure(study: StudyVerdict) -> Figure:
    """Draw the share of each task in the update with every method of a study, mean over seeds."""
    schema = {"weighting": polars.String, "task": polars.String, "share": polars.Float64}
    rows = [(method_of(method).title, task, share) for method in study.methods for task, share in method.shares.items()]
    # Variants may have fewer tasks than others; a task has one colour in all figures.
    longest_first = sorted(study.methods, key=lambda method: -len(method.shares))
    tasks = list(dict.fromkeys(task for method in longest_first for task in method.shares))
    return figures.share_under_weights(polars.DataFrame(rows, schema=schema, orient="row"), tasks=tasks)


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
