"""The verdict on the records of a probe."""

from collections.abc import Mapping

import numpy as np
import polars

from equipoise.diagnosis.verdict import words
from equipoise.diagnosis.verdict.findings import Findings, copies
from equipoise.diagnosis.verdict.measures import (
    GradientRecords,
    Measures,
    avgnorm_weights,
    equal_norm_weights,
    gather,
    nan_safe,
    shares_under,
    static_weights,
)
from equipoise.diagnosis.verdict.schema import Finding, Kind, Status, TaskStatistics, Verdict
from equipoise.diagnosis.verdict.thresholds import BLOCKS, LEAST_STEPS, SURE

SUGGESTED = "suggested"
"""The name of the suggested weights among others."""


def judge(recorded: polars.DataFrame, candidates: Mapping[str, Mapping[str, float]] | None = None) -> Verdict:
    """Return which tasks are starved or dominate, since when, why, how sure that is, and what other weights would do.

    The second half of the recorded steps is analysed. The effect of other weights is computed from the recorded
    gradients: the shares of these gradients under those weights, not those of a network trained with them.

    Args:
        recorded: From `Probe.recorded` or `equipoise.diagnosis.read`.
        candidates: Further static weights by task to compare, by their name. A task that is not named has weight 1.
    """
    records = gather(recorded)
    count = len(records.steps)
    notes = _notes(records)
    if len(records.tasks) == 1:
        summary = "There is nothing to balance: the network has a single task."
        return Verdict(status="single task", summary=summary, notes=notes, recorded=count)
    if count < LEAST_STEPS:
        return Verdict(status="too few steps", summary=words.too_few(count, LEAST_STEPS), notes=notes, recorded=count)
    measures = Measures(records)
    findings = Findings(measures)
    weights = _weights(measures.analysed, findings)
    others = dict(candidates or {}) | ({SUGGESTED: weights} if weights else {})
    status, certainty, summary = _outcome(measures, findings)
    steps = measures.analysed.steps
    notes = (*_absences(measures.analysed), *notes)
    if len(steps) < 2 * BLOCKS:
        notes = (words.few(len(steps)), *notes)
    return Verdict(
        status=status,
        cause=findings.cause,
        certainty=certainty,
        summary=summary,
        findings=tuple(findings.found),
        unconfirmed=tuple(findings.unconfirmed),
        notes=notes,
        tasks=tuple(_tasks(measures, findings.found, others)),
        weights=weights,
        survives=_number(measures.survives),
        survives_orthogonal=_number(measures.survives_orthogonal),
        recorded=count,
        analysed=len(steps),
        first_step=int(steps[0]),
        last_step=int(steps[-1]),
    )


def _outcome(measures: Measures, findings: Findings) -> tuple[Status, float | None, str]:
    """Return the status, its certainty, and the verdict in one line."""
    if findings.cause is not None:
        return "unbalanced", findings.found[0].certainty, words.headline(findings.cause, findings.found)
    if findings.unmeasured:
        return "undecided", None, words.unmeasured(findings.unmeasured)
    if findings.balance_certainty < SURE:
        return "undecided", findings.balance_certainty, words.undecided(findings.balance_certainty)
    return "balanced", findings.balance_certainty, words.balanced(measures.share.value.tolist())


def _weights(records: GradientRecords, findings: Findings) -> dict[str, float] | None:
    """Return weights of equal norms, copies sharing the weight of one, the smallest 1; none if weights do not help."""
    if not findings.weights_help:
        return None
    raw = static_weights(records) / copies(len(records.tasks), findings.groups)
    if not (np.isfinite(raw) & (raw > 0)).all():
        return None
    return {task: float(f"{weight:.3g}") for task, weight in zip(records.tasks, raw / raw.min(), strict=True)}


def _tasks(measures: Measures, found: list[Finding], others: Mapping[str, Mapping[str, float]]) -> list[TaskStatistics]:
    analysed, tasks = measures.analysed, measures.all.tasks
    under = {"uniform": np.ones(len(tasks)), "avgnorm": equal_norm_weights(analysed)}
    under |= {name: np.array([weights.get(task, 1.0) for task in tasks]) for name, weights in others.items()}
    would_be = {name: shares_under(analysed, weights).mean() for name, weights in under.items()}
    low, high = measures.share.interval()
    averages = avgnorm_weights(measures.all)
    rows = []
    for i, task in enumerate(tasks):
        states: list[Kind] = [finding.kind for finding in found if task in finding.tasks]
        rows.append(
            TaskStatistics(
                task=task,
                states=tuple(dict.fromkeys(states)),
                present=float(analysed.present[:, i].mean()),
                norm=_number(measures.norm[i]),
                weight=_number(measures.weight[i]),
                contribution=_number(measures.contribution[i]),
                share=_number(measures.share.value[i]),
                share_low=_number(low[i]),
                share_high=_number(high[i]),
                fair=float(measures.fair[i]),
                shares={name: _number(of[i]) for name, of in would_be.items()},
                avgnorm_weight=_number(averages[i]),
                cosine=_number(nan_safe(np.nanmean, np.delete(measures.cosine.value[i], i))),
                coherence=_number(measures.coherence.value[i]),
                first_loss=_number(measures.first_loss[i]),
                last_loss=_number(measures.last_loss[i]),
            )
        )
    return rows


def _notes(records: GradientRecords) -> tuple[str, ...]:
    notes = []
    if records.dropped:
        notes.append(f"{records.dropped} recorded steps were left out: not finite, or without any gradient.")
    for task, present in zip(records.tasks, records.present.T, strict=True):
        if len(present) and not present.any():
            notes.append(f"`{task}` never had a gradient at the place that the probe records.")
    if not records.weighted:
        notes.append(
            "The method gives no weights. The verdict uses the weights whose weighted sum is nearest to its update."
        )
    return tuple(notes)


def _absences(analysed: GradientRecords) -> tuple[str, ...]:
    parts = zip(analysed.tasks, analysed.present.mean(axis=0), strict=True)
    return tuple(
        f"`{task}` had a gradient in {words.percent(part)} of the analysed steps."
        for task, part in parts
        if 0 < part < 1
    )


def _number(value: float | np.ndarray) -> float | None:
    return float(value) if np.isfinite(value) else None
