"""The verdict on what a probe has recorded."""

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
    quiet,
    shares_under,
    static_weights,
)
from equipoise.diagnosis.verdict.schema import Finding, Kind, Status, TaskEvidence, Verdict
from equipoise.diagnosis.verdict.thresholds import BLOCKS, LEAST_STEPS, SURE

SUGGESTED = "suggested"
"""How the weights to try are called among others."""


def judge(recorded: polars.DataFrame, candidates: Mapping[str, Mapping[str, float]] | None = None) -> Verdict:
    """Which tasks are starved, which dominate, since when, why, what other weights would do, and how sure that is.

    The second half of the recorded steps is judged. What other weights would do is computed from the recorded
    gradients: it says what they would make of these gradients, not what a network trained with them becomes.

    Args:
        recorded: From `Probe.recorded` or `equipoise.diagnosis.read`.
        candidates: Further static weights to look at, by their name; a task without one counts with 1.
    """
    evidence = gather(recorded)
    count = len(evidence.steps)
    notes = _notes(evidence)
    if len(evidence.tasks) == 1:
        summary = "There is nothing to balance: the network has a single task."
        return Verdict(status="single task", summary=summary, notes=notes, recorded=count)
    if count < LEAST_STEPS:
        return Verdict(status="too few steps", summary=words.too_few(count, LEAST_STEPS), notes=notes, recorded=count)
    measures = Measures(evidence)
    findings = Findings(measures)
    weights = _weights(measures.judged, findings)
    others = dict(candidates or {}) | ({SUGGESTED: weights} if weights else {})
    status, certainty, summary = _outcome(measures, findings)
    judged = measures.judged.steps
    notes = (*_absences(measures.judged), *notes)
    if len(judged) < 2 * BLOCKS:
        notes = (words.few(len(judged)), *notes)
    return Verdict(
        status=status,
        cause=findings.cause,
        certainty=certainty,
        summary=summary,
        findings=tuple(findings.found),
        doubts=tuple(findings.doubts),
        notes=notes,
        tasks=tuple(_tasks(measures, findings.found, others)),
        weights=weights,
        survives=_number(measures.survives),
        survives_orthogonal=_number(measures.survives_orthogonal),
        recorded=count,
        judged=len(judged),
        first_step=int(judged[0]),
        last_step=int(judged[-1]),
    )


def _outcome(measures: Measures, findings: Findings) -> tuple[Status, float | None, str]:
    """The status, how sure it is, and the verdict in one line."""
    if findings.cause is not None:
        return "unbalanced", findings.found[0].certainty, words.headline(findings.cause, findings.found)
    if findings.untold:
        return "undecided", None, words.untold(findings.untold)
    if findings.clear < SURE:
        return "undecided", findings.clear, words.undecided(findings.clear)
    return "balanced", findings.clear, words.balanced(measures.share.value.tolist())


def _weights(evidence: GradientRecords, findings: Findings) -> dict[str, float] | None:
    """Those of equal norms, those of copies shared among them, the smallest 1; none where weights are no remedy."""
    if not findings.weights_help:
        return None
    raw = static_weights(evidence) / copies(len(evidence.tasks), findings.groups)
    if not (np.isfinite(raw) & (raw > 0)).all():
        return None
    return {task: float(f"{weight:.3g}") for task, weight in zip(evidence.tasks, raw / raw.min(), strict=True)}


def _tasks(measures: Measures, found: list[Finding], others: Mapping[str, Mapping[str, float]]) -> list[TaskEvidence]:
    judged, tasks = measures.judged, measures.all.tasks
    under = {"uniform": np.ones(len(tasks)), "avgnorm": equal_norm_weights(judged)}
    under |= {name: np.array([weights.get(task, 1.0) for task in tasks]) for name, weights in others.items()}
    would_be = {name: shares_under(judged, weights).mean() for name, weights in under.items()}
    low, high = measures.share.interval()
    averages = avgnorm_weights(measures.all)
    rows = []
    for i, task in enumerate(tasks):
        states: list[Kind] = [finding.kind for finding in found if task in finding.tasks]
        rows.append(
            TaskEvidence(
                task=task,
                states=tuple(dict.fromkeys(states)),
                present=float(judged.present[:, i].mean()),
                norm=_number(measures.norm[i]),
                weight=_number(measures.weight[i]),
                contribution=_number(measures.contribution[i]),
                share=_number(measures.share.value[i]),
                share_low=_number(low[i]),
                share_high=_number(high[i]),
                fair=float(measures.fair[i]),
                shares={name: _number(of[i]) for name, of in would_be.items()},
                avgnorm_weight=_number(averages[i]),
                cosine=_number(quiet(np.nanmean, np.delete(measures.cosine.value[i], i))),
                coherence=_number(measures.coherence.value[i]),
                first_loss=_number(measures.first_loss[i]),
                last_loss=_number(measures.last_loss[i]),
            )
        )
    return rows


def _notes(evidence: GradientRecords) -> tuple[str, ...]:
    notes = []
    if evidence.dropped:
        notes.append(f"{evidence.dropped} recorded steps were left out: not finite, or without any gradient.")
    for task, present in zip(evidence.tasks, evidence.present.T, strict=True):
        if len(present) and not present.any():
            notes.append(f"`{task}` never had a gradient where the probe looked.")
    if not evidence.weighted:
        notes.append("The method gives no weights: those count whose weighted sum comes nearest to its update.")
    return tuple(notes)


def _absences(judged: GradientRecords) -> tuple[str, ...]:
    parts = zip(judged.tasks, judged.present.mean(axis=0), strict=True)
    return tuple(
        f"`{task}` had a gradient in {words.percent(part)} of the judged steps." for task, part in parts if 0 < part < 1
    )


def _number(value: float | np.ndarray) -> float | None:
    return float(value) if np.isfinite(value) else None
