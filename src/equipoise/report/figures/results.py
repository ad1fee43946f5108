"""Figures of results: how much better or worse every method is than the single-task networks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import polars
from matplotlib.figure import Figure

from equipoise import figures
from equipoise._core.registry import register
from equipoise.config import SINGLE
from equipoise.figures.layout import MAX_METHODS_PER_PANEL
from equipoise.report.changes import changes
from equipoise.report.figures.base import (
    DrawnFigure,
    StudyFigure,
    StudyRuns,
    first_seed,
    seed_remark,
    unfinished_remark,
    without_single,
)
from equipoise.studies import RunRow
from equipoise.studies.results.frames import stages
from equipoise.studies.results.groups import by_variant, multi_task, single_task

_DEFINITION = "Each number is the signed relative change against the single-task networks (Guo et al. 2025, equation 5)"
_BASELINE = "uniform"


@register("relative_change")
class RelativeChange(StudyFigure):
    """Bars of the change of every task, a panel a variant."""

    title = "Change against single-task networks"
    caption = f"{_DEFINITION}, mean over seeds; up is better. The black line is their mean over tasks, delta_m."
    order = 10

    def parts(self, study: StudyRuns) -> Sequence[StudyRuns]:
        """Return the whole study."""
        return [study]

    def draw(self, runs: StudyRuns) -> Figure | None:
        """Draw it if a multi-task network and its single-task networks are finished."""
        if without_single(changes(runs.rows, runs.directions)).is_empty():
            return None
        return relative_change(runs.rows, runs.directions)


@register("radar")
class Radar(StudyFigure):
    """Every task a spoke, every method an outline."""

    title = "All tasks in one radar"
    caption = (
        f"{_DEFINITION}, mean over seeds. Each spoke is a task, and outwards is better (Guo et al. 2025, figures 1 "
        "and 4). delta_m, the mean, stands beside the name. The lowest and the highest value stand under each metric."
    )
    order = 20

    def parts(self, study: StudyRuns) -> Sequence[StudyRuns]:
        """Return the whole study if its outlines are few and have the same tasks, otherwise every variant."""
        multi = without_single(changes(study.rows, study.directions))
        if multi.is_empty():
            return []
        outlines = multi.group_by("variant", "method").agg(polars.col("metric"))
        if len(outlines) <= MAX_METHODS_PER_PANEL and outlines["metric"].n_unique() == 1:
            return [study]
        return [_with_reference(part, study) for part in study.variants]

    def draw(self, runs: StudyRuns) -> Figure | None:
        """Draw the outlines; without variants, and in the reference variant, single-task is the ring at zero."""
        found = changes(runs.rows, runs.directions)
        if found.is_empty():
            return None
        references = {row.reference for row in runs.rows}
        is_single = polars.col("method") == SINGLE
        is_reference = polars.col("variant").is_in([*references], nulls_equal=True)
        zero = polars.lit(len(references) == 1) & is_single & is_reference
        both = polars.concat_str("variant", polars.lit(", "), "method", ignore_nulls=True)
        title = polars.when(polars.col("variant").is_null()).then("method").otherwise(both)
        # Single-task networks last: the other methods then have the colours that they have in all figures.
        drawn = found.filter(~zero).sort(is_single, maintain_order=True).with_columns(method=title)
        reference = next(iter(references)) if len(references) == 1 else None
        return figures.radar(drawn, baseline=f"{reference}, single-task" if reference else "single-task")


@register("seeds")
class Seeds(StudyFigure):
    """delta_m of every seed, a method a row and a variant a panel."""

    title = "delta_m of every seed"
    caption = (
        "A point a seed. Bars go from the lowest to the highest seed; from 5 seeds on, boxes go from quartile to "
        "quartile (Gama & Grassi 2025, figures 1, 2, 4, 5, 8). Methods whose boxes overlap cannot be told apart by "
        "this study."
    )
    order = 30

    def parts(self, study: StudyRuns) -> Sequence[StudyRuns]:
        """Return the whole study."""
        return [study]

    def draw(self, runs: StudyRuns) -> Figure | None:
        """Draw it if there are several seeds."""
        if stages(runs.rows)["seed"].n_unique() < 2:
            return None
        rows = [(run.variant or "", run.balancer, run.seed, run.delta_m) for run in multi_task(runs.rows)]
        schema = {"panel": polars.String, "method": polars.String, "seed": polars.Int64, "value": polars.Float64}
        frame = polars.DataFrame(rows, schema=schema, orient="row")
        return figures.box_plots(frame, quantity="delta_m, %", baseline=_BASELINE)


@register("progression")
class Progression(StudyFigure):
    """delta_m over the variants of a study, and the lead over the plain sum."""

    title = "Over the variants of the study"
    caption = (
        "Above, delta_m of every method by variant, with a band of one standard deviation over seeds. Below, how many "
        "points each method is ahead of the plain sum (Gama & Grassi 2025, figure 3b)."
    )
    order = 40

    def parts(self, study: StudyRuns) -> Sequence[StudyRuns]:
        """Return the whole study."""
        return [study]

    def draw(self, runs: StudyRuns) -> Figure | None:
        """Draw it if the plain sum is finished in several variants, beside another method."""
        found = stages(runs.rows)
        if found.filter(method=_BASELINE)["stage"].n_unique() < 2 or found["method"].n_unique() < 2:
            return None
        return figures.progression(found, quantity="delta_m, %", baseline=_BASELINE)


def _with_reference(part: StudyRuns, study: StudyRuns) -> StudyRuns:
    """Return the runs of a variant, after the single-task networks of another variant that it is compared with."""
    reference = part.rows[0].reference
    others = [] if reference == part.variant else single_task(study.rows, reference)
    return replace(part, rows=[*others, *part.rows])


def relative_change(rows: Sequence[RunRow], directions: Mapping[str, bool]) -> Figure:
    """Draw the signed relative change of every task against its single-task network, a group of bars a method.

    A study with variants gets a panel a variant, each against the single-task networks of the variant's reference.

    Args:
        rows: The runs of a study. Means over seeds are drawn; methods without a finished run are left out.
        directions: The main metric of every task as `task.metric`, and whether a higher value is better.
    """
    multi = without_single(changes(rows, directions))
    # A variant without a finished run keeps its panel.
    variants = polars.DataFrame({"variant": list(by_variant(rows))}, schema={"variant": polars.String})
    every = variants.join(multi, on="variant", how="left", nulls_equal=True, maintain_order="left_right")
    return figures.relative_change(every, metrics=list(directions))


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
