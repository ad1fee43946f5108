"""Figures of loss weights over epochs."""

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
from equipoise.studies.tidy import loss_weights


def weights(records: Sequence[Record], root: Path) -> Iterator[Illustration]:
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
