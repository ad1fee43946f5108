"""A figure with its name, its title and what it shows in words."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars
from matplotlib.figure import Figure

from equipoise.config import SINGLE
from equipoise.studies import Record


@dataclass(frozen=True)
class Illustration:
    """A figure of a study.

    Attributes:
        name: Good as the name of a file: letters, digits, `-` and `_`; no two of a study are the same.
        title: A few words, for a heading.
        caption: What is seen and how to read it, in sentences.
        figure: The drawing.
    """

    name: str
    title: str
    caption: str
    figure: Figure


def of_variants(records: Sequence[Record]) -> Iterator[tuple[str, str, list[Record]]]:
    """The runs of every variant, with what to append to names and to titles; nothing where there are no variants."""
    labels = list(dict.fromkeys(record.variant for record in records))
    for number, label in enumerate(labels, 1):
        part = [record for record in records if record.variant == label]
        if label is None:
            yield "", "", part
            continue
        plain = re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-")
        # Two labels may differ in signs alone.
        same = [other for other in labels if other and re.sub(r"[^A-Za-z0-9]+", "-", other).strip("-") == plain]
        yield f"-{plain}" if plain and len(same) == 1 else f"-{plain}-{number}", f" ({label})", part


def task_order(records: Sequence[Record]) -> list[str]:
    """All tasks, those of multi-task networks first, so that a task has one colour in all figures of a study."""
    longest_first = sorted(records, key=lambda record: -len(record.tasks))
    return list(dict.fromkeys(task for record in longest_first for task in record.tasks))


def one_seed(frame: polars.DataFrame) -> polars.DataFrame:
    """Of every method the rows of its first seed: a curve over steps is that of one training."""
    return frame.filter(polars.col("seed") == polars.col("seed").min().over("method"))


def which_seed(frame: polars.DataFrame) -> str:
    """A sentence that says of which seeds the rows are."""
    seeds = sorted(frame["seed"].unique())
    return f"Seed {seeds[0]}." if len(seeds) == 1 else f"The first seed of each method ({', '.join(map(str, seeds))})."


def unfinished(records: Sequence[Record], frame: polars.DataFrame) -> str:
    """A sentence about methods whose curves are of a run that is not finished, or nothing."""
    drawn = set(frame.select("method", "seed").unique().iter_rows())
    open_ = dict.fromkeys(
        record.balancer
        for record in records
        if record.status != "finished" and record.balancer != SINGLE and (record.balancer, record.seed) in drawn
    )
    return f" As far as it goes, of runs that are not finished: {', '.join(open_)}." if open_ else ""
