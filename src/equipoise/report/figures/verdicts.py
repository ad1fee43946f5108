"""Figures of verdicts: which task owns how much of the update."""

import polars
from matplotlib.figure import Figure

from equipoise import figures
from equipoise.diagnosis import Verdict, by_task
from equipoise.studies.results.diagnose import StudyVerdict
from equipoise.studies.results.groups import method_of


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
