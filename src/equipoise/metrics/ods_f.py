"""The boundary scores odsF, oisF and average precision."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise.metrics.boundary_matching import boundary_counts
from equipoise.metrics.shared_state import SharedState
from equipoise.metrics.thinning import pack_levels, suppress_non_maxima, thin

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


UNLABELLED = 255


class BoundaryMetric(SharedState):
    """Sums what the boundary benchmark counts over a data set; a subclass says in `compute` what it reads from that.

    At every threshold the predicted edges are thinned and matched one to one with the true ones within `max_distance`;
    counts are summed over the images. Published numbers are computed in the original resolution of the data set with 99
    thresholds (HED) or 101 (SEISM), on maps that went through non-maximum suppression (`suppression=True`), as ATRC,
    InvPT and HED have it, or did not, as MTLP (Vandenhende et al., 2021) has it. Targets are thinned first, as all of
    these do.

    The work is done on the CPU, outside of autograd, one image after another; `equipoise.metrics.collect` lets it be
    done once for all metrics of this kind with the same arguments.

    Args:
        max_distance: Greatest distance of a match as a fraction of the image's diagonal: 0.011 for NYUD, 0.0075 for
            PASCAL and BSDS.
        thresholds: How many thresholds, evenly spaced inside of (0, 1), or the ascending thresholds themselves. Nine
            find odsF closely enough to watch a training run, in a sixth of the time.
        suppression: Whether predictions go through non-maximum suppression first.

    Raises:
        ValueError: From the constructor for an argument out of range; from `update` for shapes that do not fit,
            predictions that are not probabilities, or targets other than 0, 1 and 255.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    counts: Tensor
    best: Tensor

    def __init__(
        self,
        max_distance: float = 0.011,
        thresholds: int | Sequence[float] = 99,
        suppression: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 < max_distance < 1:
            raise ValueError(f"`max_distance` should be in (0, 1), a fraction. Found `max_distance = {max_distance}`.")
        self.max_distance = max_distance
        self.thresholds = _threshold_array(thresholds)
        self.suppression = suppression
        self.add_state("counts", torch.zeros(4, len(self.thresholds), dtype=torch.int64), dist_reduce_fx="sum")
        # Each image at its own best threshold: all that OIS needs to know of single images.
        self.add_state("best", torch.zeros(4, dtype=torch.int64), dist_reduce_fx="sum")

    def state_key(self) -> Hashable:
        """The arguments."""
        return BoundaryMetric, self.max_distance, *self.thresholds.tolist(), self.suppression

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Adds a batch.

        Args:
            prediction: Edge probabilities (not logits), `[B, 1, H, W]`.
            target: 1 on edges, 0 elsewhere and 255 where unlabelled, `[B, 1, H, W]`. Unlabelled pixels are neither
                true edges nor, once the prediction is thinned, predicted ones, and an image is cut to the rectangle
                that holds its labelled ones, so that padding does not stretch the diagonal.
        """
        if prediction.shape != target.shape or prediction.ndim != 4 or prediction.shape[1] != 1:
            raise ValueError(
                "`prediction` and `target` should be [B, 1, H, W] of one shape. Found "
                f"`prediction.shape = {tuple(prediction.shape)}` and `target.shape = {tuple(target.shape)}`."
            )
        predictions = prediction.detach().squeeze(1).to("cpu", torch.float32).numpy()
        targets = target.detach().squeeze(1).to("cpu", torch.float32).numpy()
        _check_values(predictions, targets)
        counts = np.zeros(self.counts.shape, dtype=np.int64)
        best = np.zeros(self.best.shape, dtype=np.int64)
        for image_prediction, image_target in zip(predictions, targets, strict=True):
            image_counts = self._image_counts(image_prediction, image_target)
            counts += image_counts
            best += best_counts(image_counts)
        self.counts += torch.from_numpy(counts).to(self.counts.device)
        self.best += torch.from_numpy(best).to(self.best.device)

    def scores(self) -> BoundaryScores:
        """All scores of the benchmark, as fractions: odsF and where it is reached, OIS, average precision."""
        with self.sync_context():
            return self._scores()

    def _scores(self) -> BoundaryScores:
        return boundary_scores(self.counts.cpu().numpy(), self.best.cpu().numpy(), self.thresholds)

    def _percent(self, score: float) -> Tensor:
        """A score in percent; nan when there was no edge at all, neither predicted nor true."""
        return torch.where(self.counts[[1, 3]].any(), 100 * score, torch.nan)

    def _image_counts(self, prediction: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.int64]:
        labelled = target != UNLABELLED
        if not labelled.any():
            return np.zeros(self.counts.shape, dtype=np.int64)
        rows, columns = np.flatnonzero(labelled.any(axis=1)), np.flatnonzero(labelled.any(axis=0))
        window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        edges = prediction[window]
        if self.suppression:
            edges = suppress_non_maxima(edges)
        truth = thin(pack_levels((target[window] == 1).astype(np.int64), maps=1))[0] > 0
        return boundary_counts(edges, [truth], self.thresholds, self.max_distance, labelled[window])


def _threshold_array(thresholds: int | Sequence[float]) -> NDArray[np.float64]:
    if isinstance(thresholds, int):
        if thresholds < 1:
            raise ValueError(f"`thresholds` should be at least 1. Found `thresholds = {thresholds}`.")
        # Formed as in the benchmark: maps read from 8-bit pictures meet some thresholds to the last bit.
        return np.linspace(1 / (thresholds + 1), 1 - 1 / (thresholds + 1), thresholds)
    values = np.asarray(thresholds, dtype=np.float64)
    if values.ndim != 1 or not values.size or values[0] <= 0 or values[-1] > 1 or (np.diff(values) <= 0).any():
        raise ValueError(f"`thresholds` should ascend inside of (0, 1]. Found `thresholds = {thresholds}`.")
    return values


def _check_values(predictions: NDArray[np.float32], targets: NDArray[np.float32]) -> None:
    if not ((predictions >= 0) & (predictions <= 1)).all():
        raise ValueError(
            "`prediction` should hold probabilities in [0, 1]. Found values from "
            f"{predictions.min()} to {predictions.max()}: apply a sigmoid to logits first."
        )
    if not np.isin(targets, (0, 1, UNLABELLED)).all():
        raise ValueError(
            f"`target` should hold 0, 1 and {UNLABELLED}. Found values from {targets.min()} to {targets.max()}."
        )


class OdsF(BoundaryMetric):
    """Edge F-measure at the threshold best for the whole data set (optimal data set scale), in percent.

    Counts are summed over the images, precision and recall are taken from the sums, and the best F-measure is found
    between the thresholds too. This is the protocol of the BSDS boundary benchmark (Arbelaez et al., 2011), which SEISM
    follows and which P1 (section 3) reports. On the benchmark's own self-test it gives the F-measures of the MATLAB
    code to 2e-4. Arguments and errors are those of `BoundaryMetric`.

    Example:
        >>> import torch
        >>> truth = torch.eye(16)[None, None]
        >>> metric = OdsF(thresholds=9)
        >>> metric.update(0.8 * truth, truth)
        >>> metric.compute().item()
        100.0
    """

    def compute(self) -> Tensor:
        """The score in percent; nan when there was no edge at all, neither predicted nor true."""
        return self._percent(self._scores().ods_f)


class OisF(BoundaryMetric):
    """Edge F-measure when every image takes its own best threshold (optimal image scale), in percent.

    Counts at the best thresholds are summed over the images before precision and recall are taken, as the BSDS boundary
    benchmark does it. Arguments and errors are those of `BoundaryMetric`.

    Example:
        >>> import torch
        >>> truth = torch.eye(16)[None, None]
        >>> metric = OisF(thresholds=9)
        >>> for strength in (0.2, 0.8):
        ...     metric.update(strength * truth, truth)
        >>> metric.compute().item()
        100.0
    """

    def compute(self) -> Tensor:
        """The score in percent; nan when there was no edge at all, neither predicted nor true."""
        return self._percent(self._scores().ois_f)


class EdgePrecision(BoundaryMetric):
    """Average precision of edges, the area under precision over recall, in percent.

    As the BSDS boundary benchmark has it: precision is interpolated between the recalls that the thresholds reach and
    counts as 0 beyond them, on both sides. Arguments and errors are those of `BoundaryMetric`.

    Example:
        >>> import torch
        >>> truth = torch.eye(16)[None, None]
        >>> metric = EdgePrecision(thresholds=9)
        >>> metric.update(torch.linspace(0.2, 1, 16) * truth, truth)
        >>> metric.compute().item()  # no threshold has a recall below an eighth
        88.0
    """

    def compute(self) -> Tensor:
        """The score in percent; nan when there was no edge at all, neither predicted nor true."""
        return self._percent(self._scores().ap)
