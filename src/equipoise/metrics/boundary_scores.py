"""F-measures and average precision from counts of matched edge pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Between two thresholds precision and recall are interpolated linearly at this many points, both ends included.
INTERPOLATION_POINTS = 100


@dataclass(frozen=True, kw_only=True)
class BoundaryScores:
    """Scores of the BSDS boundary benchmark, fractions.

    Attributes:
        ods_f: F-measure at the one threshold that is best for the whole data set ("optimal data set scale").
        ods_threshold: That threshold.
        ods_precision: Precision there.
        ods_recall: Recall there.
        ois_f: F-measure when each image takes its own best threshold ("optimal image scale").
        ap: Average precision, the area under precision over recall.
    """

    ods_f: float
    ods_threshold: float
    ods_precision: float
    ods_recall: float
    ois_f: float
    ap: float


def precision_recall(counts: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision and recall of counts `[4, ...]` (see `boundary_counts`), each `[...]`; 0 where nothing is counted."""
    matched_prediction, prediction, matched_annotation, annotation = counts
    return matched_prediction / np.maximum(prediction, 1), matched_annotation / np.maximum(annotation, 1)


def f_measure(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    """Harmonic mean of precision and recall; 0 where both are 0."""
    total = precision + recall
    return 2 * precision * recall / np.where(total > 0, total, 1)


def best_counts(counts: NDArray[np.integer]) -> NDArray[np.integer]:
    """The counts `[4]` of one image at its best threshold, from `[4, T]`; summed over images they give OIS."""
    return counts[:, np.argmax(f_measure(*precision_recall(counts)))]


def boundary_scores(
    counts: NDArray[np.integer], best: NDArray[np.integer], thresholds: NDArray[np.floating]
) -> BoundaryScores:
    """Scores a data set as the BSDS boundary benchmark does (`collect_eval_bdry`).

    Args:
        counts: `boundary_counts`, summed over the images, `[4, T]`.
        best: `best_counts`, summed over the images, `[4]`.
        thresholds: Ascending thresholds, `[T]`.

    Example:
        >>> counts = np.array([[90, 40], [100, 40], [80, 40], [100, 100]])
        >>> scores = boundary_scores(counts, best_counts(counts), np.array([0.3, 0.6]))
        >>> round(scores.ods_f, 3), scores.ods_threshold
        (0.847, 0.3)
    """
    precision, recall = precision_recall(counts)
    between = np.linspace(thresholds[:-1], thresholds[1:], INTERPOLATION_POINTS).T.ravel()
    fine = np.concatenate([thresholds[:1], between])
    fine_precision, fine_recall = np.interp(fine, thresholds, precision), np.interp(fine, thresholds, recall)
    fine_f = f_measure(fine_precision, fine_recall)
    peak = int(np.argmax(fine_f))
    return BoundaryScores(
        ods_f=float(fine_f[peak]),
        ods_threshold=float(fine[peak]),
        ods_precision=float(fine_precision[peak]),
        ods_recall=float(fine_recall[peak]),
        ois_f=float(f_measure(*precision_recall(best))),
        ap=_average_precision(precision, recall),
    )


def _average_precision(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> float:
    recalls, first = np.unique(recall, return_index=True)
    if len(recalls) < 2:
        return 0.0
    # Precision counts as 0 beyond the recalls that were reached, on both sides.
    return float(np.interp(np.linspace(0, 1, 101), recalls, precision[first], left=0, right=0).sum() / 100)
