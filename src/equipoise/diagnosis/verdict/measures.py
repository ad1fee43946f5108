"""The judged steps in numbers."""

import itertools
import warnings
from collections.abc import Callable

import numpy as np

from equipoise.diagnosis.verdict import shares
from equipoise.diagnosis.verdict.estimate import Blocks
from equipoise.diagnosis.verdict.evidence import Evidence


class Measures:
    """Means over the second half of the recorded steps: what was at the start need not be so for long.

    Args:
        evidence: All N recorded steps of T tasks.

    Attributes:
        all: All recorded steps.
        judged: Those that are judged.
        fair: [T], what each task would own if all were equal.
        share: [T], of the update.
        cosine: [T, T], between unweighted gradients.
        coherence: [T], cosine of a gradient with that of the recorded step before.
        steadier: [T], how much above that the mean over the other tasks is.
        first_loss: [T], mean over the first tenth of the recorded steps.
        last_loss: [T], mean over the judged steps.
        left: [T], the last loss over the first; NaN of losses that begin at zero or below.
        left_of_others: [T], the mean of that over the other tasks.
        behind: [T], how far the loss is from having fallen half as far as those of the other tasks.
        norm: [T], of the unweighted gradient over the median of the tasks, geometric mean.
        contribution: [T], of the weighted one.
        weight: [T], of the method, mean; NaN where it gives none.
        survives: |u| over the sum of the norms of the contributions, mean.
        survives_orthogonal: What that would be for orthogonal contributions.
    """

    def __init__(self, evidence: Evidence) -> None:
        count = len(evidence.steps)
        self.all = evidence
        self.judged = judged = evidence.part(slice(count // 2, None))
        blocks = Blocks(len(judged.steps))
        self._blocks = 2 * blocks.count
        self.fair = judged.fair
        own = shares.actual(judged)
        self.share = blocks.ratio(own.owned, own.whole)
        self.cosine = blocks.mean(judged.cosines)
        self.coherence = blocks.mean(judged.coherence)
        self.steadier = blocks.mean(_of_others(judged.coherence) - judged.coherence)
        self.first_loss = quiet(np.nanmean, evidence.losses[: max(1, count // 10)])
        self.last_loss = quiet(np.nanmean, judged.losses)
        left = shares.quotient(judged.losses, np.broadcast_to(self.first_loss, judged.losses.shape))
        self.left = blocks.mean(left)
        self.left_of_others = quiet(np.nanmean, _of_others(left))
        self.behind = blocks.mean(left - (1 + _of_others(left)) / 2)
        contributions = np.abs(np.nan_to_num(judged.weights)) * judged.norms
        self.norm, self.contribution = self._relative(judged.norms), self._relative(contributions)
        self.weight = quiet(np.nanmean, judged.weights) if judged.weighted else np.full(len(self.fair), np.nan)
        pull = contributions.sum(axis=1)
        self.survives = float(quiet(np.nanmean, shares.quotient(np.sqrt(judged.update_square), pull)))
        self.survives_orthogonal = float(
            quiet(np.nanmean, shares.quotient(np.linalg.norm(contributions, axis=1), pull))
        )

    def blocks(self) -> list[slice]:
        """All recorded steps in blocks as long as those of the judged steps."""
        edges = np.linspace(0, len(self.all.steps), self._blocks + 1).round().astype(int)
        return [slice(start, end) for start, end in itertools.pairwise(edges)]

    def _relative(self, lengths: np.ndarray) -> np.ndarray:
        """Lengths over the median of the tasks, the geometric mean over the steps, [T], from [N, T]."""
        with np.errstate(divide="ignore"):
            logs = np.where(self.judged.present & (lengths > 0), np.log(lengths), np.nan)
        return np.exp(quiet(np.nanmean, logs - quiet(np.nanmedian, logs, 1)[:, None]))


def _of_others(values: np.ndarray) -> np.ndarray:
    """For each task the mean over the others, [N, T], from [N, T]."""
    tasks = range(values.shape[1])
    return np.stack([quiet(np.nanmean, np.delete(values, task, axis=1), 1) for task in tasks], axis=1)


def quiet(function: Callable[..., np.ndarray], values: np.ndarray, axis: int = 0) -> np.ndarray:
    """A mean over an axis, leaving out NaN; that of nothing is NaN, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return function(values, axis=axis)
