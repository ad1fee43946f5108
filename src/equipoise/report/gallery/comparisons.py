"""Figures of results: how much better or worse every method is than single-task networks."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars

from equipoise import figures
from equipoise.config import SINGLE, ConfigError, RunConfig, load
from equipoise.figures.layout import TOGETHER
from equipoise.report.figures import changes, radar, relative_change, seeds
from equipoise.report.gallery.illustration import Illustration, of_variants, task_order
from equipoise.studies import Record
from equipoise.studies.tidy import directory_of, stages
from equipoise.training.selection import main_metrics

_AGAINST = "Each number is the signed relative change against the single-task networks (P1, equation 5)"
_UNIFORM = "uniform"


def comparisons(records: Sequence[Record], root: Path) -> Iterator[Illustration]:
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


def directions_of(records: Sequence[Record], root: Path) -> dict[str, bool]:
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
    records: Sequence[Record], directions: Mapping[str, bool], multi: polars.DataFrame
) -> Iterator[Illustration]:
    caption = (
        f"{_AGAINST}, mean over seeds, a spoke a task, outwards is better (P1, figures 1 and 4). delta_m, their mean, "
        "stands beside the name. Under each metric its lowest and highest value."
    )
    outlines = multi.group_by("variant", "method").agg(polars.col("metric"))
    # Outlines of other tasks have other spokes.
    if len(outlines) <= TOGETHER and outlines["metric"].n_unique() == 1:
        yield Illustration("radar", "Every task at a glance", caption, radar(records, directions))
        return
    for name, title, part in of_variants(records):
        reference = [record for record in records if record.balancer == SINGLE and record.variant == part[0].reference]
        shown = [*(record for record in reference if record not in part), *part]
        if not changes(part + reference, directions).is_empty():
            yield Illustration(f"radar{name}", f"Every task at a glance{title}", caption, radar(shown, directions))
