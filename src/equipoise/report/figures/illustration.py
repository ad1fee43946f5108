"""A figure with its name, its title and what it shows in words."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import polars
from matplotlib.figure import Figure

from equipoise import figures
from equipoise._core.files import json_safe, replace, write_json
from equipoise.config import SINGLE
from equipoise.metrics import delta_m
from equipoise.studies import RunRow


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


def of_variants(records: Sequence[RunRow]) -> Iterator[tuple[str, str, list[RunRow]]]:
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


def task_order(records: Sequence[RunRow]) -> list[str]:
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


def unfinished(records: Sequence[RunRow], frame: polars.DataFrame) -> str:
    """A sentence about methods whose curves are of a run that is not finished, or nothing."""
    drawn = set(frame.select("method", "seed").unique().iter_rows())
    open_ = dict.fromkeys(
        record.balancer
        for record in records
        if record.status != "finished" and record.balancer != SINGLE and (record.balancer, record.seed) in drawn
    )
    return f" As far as it goes, of runs that are not finished: {', '.join(open_)}." if open_ else ""


def relative_change(records: Sequence[RunRow], directions: Mapping[str, bool]) -> Figure:
    """Bars of the signed relative change of every task against its single-task network, a group a method, with delta_m.

    A study with variants gets a panel a variant, each against the single-task networks of the variant's reference.

    Args:
        records: The runs of a study; means over seeds are drawn. Methods without a finished run are left out.
        directions: The main metric of every task as `task.metric`, and whether a higher value is better.
    """
    found = changes(records, directions)
    multi = found.filter(polars.col("method") != SINGLE)
    # A variant of which nothing is finished keeps its panel.
    variants = polars.DataFrame({"variant": [record.variant for record in records]}, schema={"variant": polars.String})
    variants = variants.unique(maintain_order=True)
    every = variants.join(multi, on="variant", how="left", nulls_equal=True, maintain_order="left_right")
    return figures.relative_change(every, metrics=list(directions))


def radar(records: Sequence[RunRow], directions: Mapping[str, bool]) -> Figure:
    """Every task a spoke, every method of every variant an outline, with its delta_m (P1, figures 1 and 4).

    Args:
        records: The runs of variants with the same tasks; means over seeds are drawn. Methods without a finished run
            are left out.
        directions: The main metric of every task as `task.metric`, and whether a higher value is better.
    """
    found = changes(records, directions)
    references = {record.reference for record in records}
    # Without variants, and in the variant that all others are compared with, single-task is the ring at zero.
    zero = polars.lit(len(references) == 1) & (polars.col("method") == SINGLE)
    zero &= polars.col("variant").is_in([*references], nulls_equal=True)
    named = polars.when(polars.col("variant").is_null()).then("method")
    name = named.otherwise(polars.concat_str("variant", polars.lit(", "), "method", ignore_nulls=True))
    # Single-task networks last: the others then look as in all other figures, which are without them.
    drawn = found.filter(~zero).sort(polars.col("method") == SINGLE, maintain_order=True)
    named_reference = next(iter(references)) if len(references) == 1 else None
    ring = f"{named_reference}, single-task" if named_reference else "single-task"
    return figures.radar(drawn.with_columns(method=name), baseline=ring)


def seeds(records: Sequence[RunRow], *, baseline: str | None = "uniform") -> Figure:
    """delta_m of every seed, a method a row and a variant a panel, with the baseline's median (P2, figure 1).

    Args:
        records: The runs of a study.
        baseline: The method whose median is drawn through.
    """
    rows = [
        {"panel": record.variant or "", "method": record.balancer, "seed": record.seed, "value": record.delta_m}
        for record in records
        if record.balancer != SINGLE
    ]
    schema = {"panel": polars.String, "method": polars.String, "seed": polars.Int64, "value": polars.Float64}
    return figures.box_plots(polars.DataFrame(rows, schema=schema), quantity="delta_m, %", baseline=baseline)


def changes(records: Sequence[RunRow], directions: Mapping[str, bool]) -> polars.DataFrame:
    """Means over seeds, and their signed relative change against single-task: a row a variant, method and metric.

    Args:
        records: The runs of a study. A method that lacks a finite metric of its variant's tasks, or whose variant's
            reference lacks a single-task network of one, is left out.
        directions: The main metric of every task as `task.metric`, and whether a higher value is better.

    Returns:
        `variant`, `method`, `metric`, `value`, `change` (percent, higher is better).
    """
    rows = []
    for variant, reference in dict.fromkeys((record.variant, record.reference) for record in records):
        single = _means([record for record in records if record.balancer == SINGLE and record.variant == reference])
        of_variant = [record for record in records if record.variant == variant]
        tasks = {task for record in of_variant for task in record.tasks}
        judged = {key: higher for key, higher in directions.items() if key.split(".")[0] in tasks}
        for label in dict.fromkeys(record.balancer for record in of_variant):
            measured = _means([record for record in of_variant if record.balancer == label])
            if all(math.isfinite(measured.get(key, math.nan)) and single.get(key, 0.0) > 0 for key in judged):
                for key, higher in judged.items():
                    # With one metric, delta_m is its signed relative change.
                    change = delta_m({key: measured[key]}, {key: single[key]}, {key: higher})
                    rows.append((variant, label, key, measured[key], change))
    schema: dict[str, Any] = dict.fromkeys(("variant", "method", "metric"), polars.String)
    schema |= dict.fromkeys(("value", "change"), polars.Float64)
    return polars.DataFrame(rows, schema=schema, orient="row")


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the ending of the path names."""
    replace(path, lambda beside: figure.savefig(beside, dpi=150))


def _means(records: Sequence[RunRow]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for record in records:
        for key, value in record.metrics.items():
            values.setdefault(key, []).append(value)
    return {key: fmean(found) for key, found in values.items()}


INDEX = "index.json"
"""Beside the figures: title and caption of each, and what they were drawn from."""


def write_folder(illustrations: Iterable[Illustration], records: Sequence[RunRow], directory: Path) -> int:
    """Write figures into a directory, and return how many; several processes may do so at once.

    Args:
        illustrations: The figures.
        records: The runs that they are drawn from.
        directory: For the files, made if it is not there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written = {}
    for one in illustrations:
        name = f"{one.name}.png"
        write_figure(one.figure, directory / name)
        written[name] = {"title": one.title, "caption": one.caption}
    # Last, and in one move: where a process is killed before, there is no index of these records.
    write_json(directory / INDEX, {"drawn_from": _digest(records), "figures": written})
    return len(written)


def is_complete(records: Sequence[RunRow], directory: Path) -> bool:
    """Whether a directory has every figure as it was drawn from these records.

    Args:
        records: The runs of a study as they are now.
        directory: Of `write_folder`.
    """
    try:
        index = json.loads((directory / INDEX).read_text(encoding="utf-8"))
        return index["drawn_from"] == _digest(records) and all((directory / name).exists() for name in index["figures"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _digest(records: Sequence[RunRow]) -> str:
    # A study may be moved.
    content = json_safe([record.model_dump(mode="json", exclude={"directory"}) for record in records])
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
