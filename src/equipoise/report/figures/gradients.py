"""Figures of what probes have recorded."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars
from matplotlib.figure import Figure

from equipoise import figures
from equipoise.config import SINGLE
from equipoise.diagnosis import Verdict, by_pair, by_step, by_task
from equipoise.report.figures.illustration import (
    Illustration,
    of_variants,
    one_seed,
    task_order,
    unfinished,
    which_seed,
)
from equipoise.studies import RunRow
from equipoise.studies.results import frames
from equipoise.studies.results.diagnose import StudyVerdict

_UNIFORM = "uniform"


def gradients(records: Sequence[RunRow], root: Path) -> Iterator[Illustration]:
    """Norms, cosines, shares and conflicts of the task gradients of every variant; and their mean cosine over all."""
    tasks = task_order(records)
    by_variant = []
    for name, title, part in of_variants(records):
        multi = [record for record in part if record.balancer != SINGLE]
        steps = one_seed(frames.gradients(multi, root, by_step))
        yield from _of_tasks(part, root, tasks, name, title)
        if steps.is_empty():
            continue
        yield from _of_pairs(multi, root, steps, tasks, name, title)
        by_variant.append(
            steps.filter(polars.col("method") == _UNIFORM).with_columns(method=polars.lit(part[0].variant or ""))
        )
    if len([frame for frame in by_variant if not frame.is_empty()]) > 1:
        yield Illustration(
            "mean_cosine",
            "Mean cosine of task gradients, variant by variant",
            "Of the plain sum in every variant (P2, figure 7). Curves are to be compared with the dashed line at "
            "1/sqrt(T), where orthogonal gradients of equal norms lie whatever the network.",
            figures.mean_cosine(polars.concat(by_variant)),
        )


def _of_tasks(
    records: Sequence[RunRow], root: Path, tasks: Sequence[str], name: str, title: str
) -> Iterator[Illustration]:
    found = one_seed(frames.gradients(records, root, by_task))
    if found.is_empty():
        return
    seed = which_seed(found) + unfinished(records, found)
    yield Illustration(
        f"gradient_norms{name}",
        f"Norms of the task gradients{title}",
        "Above, the norm of each task's gradient where the probe looks, the last shared layer by default; below, "
        "times its weight: what enters the update (P1, figures 8, 15, 16). A task whose curve lies far below the "
        f"others' there is starved. {seed}",
        figures.gradient_norms(found, tasks=tasks),
    )
    multi = found.filter(polars.col("method") != SINGLE)
    if multi["task"].n_unique() < 2:
        return
    yield Illustration(
        f"cosines_with_update{name}",
        f"Cosine of each task with the update{title}",
        "Above, the cosine between each task's gradient and the update (P1, figures 7, 9, 14), with the line at "
        "1/sqrt(T) where T orthogonal gradients of equal norms lie. Below, what takes their mean off that line: the "
        "balance of norms (1 where contributions are equally long) and the alignment of directions (above 1 where "
        f"tasks agree, below where they conflict). {seed}",
        figures.cosines_with_update(multi, tasks=tasks),
    )
    yield Illustration(
        f"update_share{name}",
        f"Share of the update that each task owns{title}",
        "The part of the update's squared length that comes from each task; below zero where the update goes against "
        f"it. {seed}",
        figures.update_share(multi, tasks=tasks),
    )


def _of_pairs(
    records: Sequence[RunRow], root: Path, steps: polars.DataFrame, tasks: Sequence[str], name: str, title: str
) -> Iterator[Illustration]:
    pairs = one_seed(frames.gradients(records, root, by_pair))
    seed = which_seed(steps) + unfinished(records, steps)
    yield Illustration(
        f"mean_cosine_of_methods{name}",
        f"Mean cosine of task gradients{title}",
        "The mean over tasks of the cosine between a task's gradient and the sum of all (P2, figure 3a), beside the "
        "dashed line at 1/sqrt(T), where orthogonal gradients of equal norms lie. Many methods have a panel each, with "
        f"the others in grey. {seed}",
        figures.mean_cosine(steps),
    )
    if pairs.is_empty():
        return
    yield Illustration(
        f"pairwise_cosines{name}",
        f"Cosines between task gradients{title}",
        f"A panel a task: its cosine with every other one (P1, figures 10, 11); below zero they conflict. {seed}",
        figures.pairwise_cosines(pairs, tasks=tasks),
    )
    yield Illustration(
        f"pairwise_dots{name}",
        f"Dot products of task gradients{title}",
        "A panel a task: its inner product with every other one (P1, figures 12, 13), on an axis that is logarithmic "
        f"on both sides of zero. {seed}",
        figures.pairwise_dots(pairs, tasks=tasks),
    )
    yield Illustration(
        f"gradient_matrix{name}",
        f"The task gradients as a matrix{title}",
        "Singular values and condition number of the matrix of task gradients, the similarity of their norms (1 where "
        f"equal) and the share of pairs that conflict; in grey those of the other methods. {seed}",
        figures.gradient_matrix(steps, pairs),
    )


def verdict_figure(verdict: Verdict, recorded: polars.DataFrame) -> Figure:
    """Who owns the update over training, and who would under other weights.

    Args:
        verdict: The verdict.
        recorded: What it was drawn from, as of `Probe.recorded` or `equipoise.diagnosis.read`.
    """
    return figures.verdict_overview(by_task(recorded), verdict.to_frame())


def study_verdict_figure(study: StudyVerdict) -> Figure:
    """Who owns the update with every method of a study, mean over seeds."""
    schema = {"weighting": polars.String, "task": polars.String, "share": polars.Float64}
    rows = [
        (method.balancer if method.variant is None else f"{method.variant}, {method.balancer}", task, share)
        for method in study.methods
        for task, share in method.shares.items()
    ]
    # Variants may have fewer tasks than others; a task has one colour in all figures.
    longest_first = sorted(study.methods, key=lambda method: -len(method.shares))
    tasks = list(dict.fromkeys(task for method in longest_first for task in method.shares))
    return figures.share_under_weights(polars.DataFrame(rows, schema=schema, orient="row"), tasks=tasks)
