"""Figures of features beside those of single-task networks."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from equipoise import figures
from equipoise.report.gallery.illustration import (
    Illustration,
    of_variants,
    one_seed,
    task_order,
    unfinished,
    which_seed,
)
from equipoise.studies import Record
from equipoise.studies.tidy import feature_distances


def features(records: Sequence[Record], root: Path) -> Iterator[Illustration]:
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
