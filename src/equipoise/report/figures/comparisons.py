"""Figures of results: how much better or worse every method is than single-task networks."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars

from equipoise import figures
from equipoise.config import SINGLE, ConfigError, RunConfig, load
from equipoise.figures.layout import MAX_METHODS_PER_PANEL
from equipoise.report.figures.illustration import (
    Illustration,
    changes,
    of_variants,
    one_seed,
    radar,
    relative_change,
    seeds,
    task_order,
    unfinished,
    which_seed,
)
from equipoise.report.predictions import Predictions
from equipoise.studies import RunRow
from equipoise.studies.results.frames import directory_of, feature_distances, loss_weights, stages
from equipoise.training.selection import main_metrics

_AGAINST = "Each number is the signed relative change against the single-task networks (P1, equation 5)"
_UNIFORM = "uniform"


def comparisons(records: Sequence[RunRow], root: Path) -> Iterator[Illustration]:
    """The changes against single-task networks as bars and radars, over seeds, and over the variants of a study."""
    directions = directions_of(records, root)
    found = changes(records, directions)
    multi = found.filter(found["method"] != SINGLE)
    if not multi.is_empty():
        yield Illustration(
            "relative_change",
            "Change against single-task networks",
            f"{_AGAINST}, mean over seeds; up is better. The black line is their mean over tasks, delta_m.",
            relative_change(records, directions),
        )
        yield from _radars(records, directions, multi)
    spread = stages(records)
    if spread["seed"].n_unique() > 1:
        yield Illustration(
            "seeds",
            "delta_m of every seed",
            "A point a seed; bars go from the lowest to the highest, or, from 5 seeds on, boxes from quartile to "
            "quartile (P2, figures 1, 2, 4, 5, 8). Methods whose boxes overlap cannot be told apart by this study.",
            seeds(records),
        )
    if spread.filter(spread["method"] == _UNIFORM)["stage"].n_unique() > 1 and spread["method"].n_unique() > 1:
        yield Illustration(
            "progression",
            "Over the variants of the study",
            "Above, delta_m of every method by variant, with a band of one standard deviation over seeds. Below, how "
            "many points each method is ahead of the plain sum (P2, figure 3b).",
            figures.progression(spread, quantity="delta_m, %", baseline=_UNIFORM),
        )


def directions_of(records: Sequence[RunRow], root: Path) -> dict[str, bool]:
    """The main metric of every task as `task.metric`, and whether more is better, as far as runs have been begun."""
    found: dict[str, bool] = {}
    for tasks, of in {(record.variant, record.tasks): record for record in reversed(records)}.items():
        try:
            config = load(directory_of(of, root) / "config.yaml", RunConfig)
            found |= main_metrics(config.data.tasks(tasks[1]))
        except (ConfigError, ValueError):
            # Not begun, or of a version whose recipes were others.
            continue
    order = task_order(records)
    return dict(sorted(found.items(), key=lambda entry: order.index(entry[0].split(".")[0])))


def _radars(
    records: Sequence[RunRow], directions: Mapping[str, bool], multi: polars.DataFrame
) -> Iterator[Illustration]:
    caption = (
        f"{_AGAINST}, mean over seeds, a spoke a task, outwards is better (P1, figures 1 and 4). delta_m, their mean, "
        "stands beside the name. Under each metric its lowest and highest value."
    )
    outlines = multi.group_by("variant", "method").agg(polars.col("metric"))
    # Outlines of other tasks have other spokes.
    if len(outlines) <= MAX_METHODS_PER_PANEL and outlines["metric"].n_unique() == 1:
        yield Illustration("radar", "Every task at a glance", caption, radar(records, directions))
        return
    for name, title, part in of_variants(records):
        reference = [record for record in records if record.balancer == SINGLE and record.variant == part[0].reference]
        shown = [*(record for record in reference if record not in part), *part]
        if not changes(part + reference, directions).is_empty():
            yield Illustration(f"radar{name}", f"Every task at a glance{title}", caption, radar(shown, directions))


def features(records: Sequence[RunRow], root: Path) -> Iterator[Illustration]:
    """How far the shared features were from those of each single-task network, where that was recorded."""
    tasks = task_order(records)
    for name, title, part in of_variants(records):
        found = one_seed(feature_distances(part, root))
        if not found.is_empty():
            yield Illustration(
                f"feature_distance{name}",
                f"Features beside those of single-task networks{title}",
                "Squared L2 distance between the shared features, through an adaptor for each task that learns beside "
                "the training, and those of the task's own network (P1, figure 6): 0 where directions agree, 2 where "
                f"they have nothing in common. It starts high since adaptors do. {which_seed(found)}"
                f"{unfinished(part, found)}",
                figures.feature_distance(found, tasks=tasks),
            )


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


def weights(records: Sequence[RunRow], root: Path) -> Iterator[Illustration]:
    """The weights of every method by epoch, and how far they are from equal ones."""
    tasks = task_order(records)
    for name, title, part in of_variants(records):
        found = loss_weights(part, root)
        if found.is_empty():
            continue
        one = one_seed(found)
        yield Illustration(
            f"weights_per_epoch{name}",
            f"Loss weights by epoch{title}",
            "Light: the mean weights of an epoch, divided by their sum. Strong: their exponential moving average "
            "(momentum 0.9) from the first epoch on, whose last value is what P2 distils fixed weights from (figure "
            f"6). {which_seed(one)}{unfinished(part, one)}",
            figures.weights_per_epoch(one, tasks=tasks),
        )
        if found["task"].n_unique() > 1:
            yield Illustration(
                f"weight_error{name}",
                f"How far weights are from equal ones{title}",
                "Mean over tasks of the distance between a task's share of the weights and 1/T, by epoch; with several "
                "seeds, bands are their range (P2, figure 2). A method near zero weighs as the plain sum does, and "
                f"ties with it. Many methods have a panel each, with the others in grey.{unfinished(part, found)}",
                figures.weight_error(found if found["seed"].n_unique() > 1 else found.drop("seed")),
            )
