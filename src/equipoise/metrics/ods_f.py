"""Metrics of edges: the boundary scores odsF, oisF and average precision of the BSDS benchmark."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise._core.errors import require
from equipoise.metrics.boundary_matching import boundary_counts
from equipoise.metrics.shared_state import SharedState
from equipoise.metrics.thinning import pack_levels, suppress_non_maxima, thin

_INTERPOLATION_POINTS = 100
"""Points, both ends included, at which precision and recall are interpolated linearly between two thresholds."""
_UNLABELLED = 255
"""The value of unlabelled pixels in a target."""


@dataclass(frozen=True, kw_only=True)
class BoundaryScores:
    """Scores of the BSDS boundary benchmark, fractions.

    Attributes:
        ods_f: F-measure at the threshold that is best for the whole data set ("optimal data set scale").
        ods_threshold: That threshold.
        ods_precision: Precision there.
        ods_recall: Recall there.
        ois_f: F-measure with the best threshold for each image ("optimal image scale").
        ap: Average precision, the area under precision over recall.
    """

    ods_f: float
    ods_threshold: float
    ods_precision: float
    ods_recall: float
    ois_f: float
    ap: float


def precision_recall(counts: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return precision and recall of counts `[4, ...]` (see `boundary_counts`), each `[...]`; 0 for counts of 0."""
    matched_prediction, prediction, matched_annotation, annotation = counts
    return matched_prediction / np.maximum(prediction, 1), matched_annotation / np.maximum(annotation, 1)


def f1_score(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the harmonic mean of precision and recall; 0 if both are 0."""
    total = precision + recall
    return 2 * precision * recall / np.where(total > 0, total, 1)


def best_counts(counts: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return the counts `[4]` of one image at its best threshold, from `[4, T]`. Summed over images they give OIS."""
    return counts[:, np.argmax(f1_score(*precision_recall(counts)))]


def boundary_scores(
    counts: NDArray[np.integer], best: NDArray[np.integer], thresholds: NDArray[np.floating]
) -> BoundaryScores:
    """Return the scores of a data set as the BSDS boundary benchmark computes them (`collect_eval_bdry`).

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
    between = np.linspace(thresholds[:-1], thresholds[1:], _INTERPOLATION_POINTS).T.ravel()
    fine = np.concatenate([thresholds[:1], between])
    fine_precision, fine_recall = np.interp(fine, thresholds, precision), np.interp(fine, thresholds, recall)
    fine_f = f1_score(fine_precision, fine_recall)
    peak = int(np.argmax(fine_f))
    return BoundaryScores(
        ods_f=float(fine_f[peak]),
        ods_threshold=float(fine[peak]),
        ods_precision=float(fine_precision[peak]),
        ods_recall=float(fine_recall[peak]),
        ois_f=float(f1_score(*precision_recall(best))),
        ap=_average_precision(precision, recall),
    )


def _average_precision(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> float:
    recalls, first = np.unique(recall, return_index=True)
    if len(recalls) < 2:
        return 0.0
    # Precision counts as 0 beyond the recalls that were reached, on both sides.
    return float(np.interp(np.linspace(0, 1, 101), recalls, precision[first], left=0, right=0).sum() / 100)


class BoundaryMetric(SharedState):
    """Base class of metrics computed from the counts of the boundary benchmark over a data set.

    At every threshold the predicted edges are thinned and matched one to one with the true ones within `max_distance`.
    Counts are summed over the images. Published numbers are computed in the original resolution of the data set with 99
    thresholds (HED) or 101 (SEISM). ATRC, InvPT and HED apply non-maximum suppression to predictions first
    (`suppression=True`); MTLP (Vandenhende et al., 2021) does not. Targets are thinned first, as in all of these.

    The computation runs on the CPU, outside of autograd, one image after another. In `equipoise.metrics.collect`,
    metrics of this kind with the same arguments share it.

    Args:
        max_distance: Greatest distance of a match as a fraction of the image's diagonal: 0.011 for NYUD, 0.0075 for
            PASCAL and BSDS.
        thresholds: The number of thresholds, evenly spaced inside of (0, 1), or the ascending thresholds themselves.
            Nine give odsF accurately enough for watching a training run, in a sixth of the time.
        suppression: Whether to apply non-maximum suppression to predictions first.

    Raises:
        ValueError: From the constructor for an argument out of range; from `update` if the shapes do not fit,
            predictions are not probabilities, or targets are not 0, 1 or 255.
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
        require(0 < max_distance < 1, "max_distance", max_distance, "be in (0, 1), a fraction")
        self.max_distance = max_distance
        self.thresholds = _threshold_array(thresholds)
        self.suppression = suppression
        self.add_state("counts", torch.zeros(4, len(self.thresholds), dtype=torch.int64), dist_reduce_fx="sum")
        # The counts of each image at its own best threshold, summed: OIS needs no more of single images.
        self.add_state("best", torch.zeros(4, dtype=torch.int64), dist_reduce_fx="sum")

    def state_key(self) -> Hashable:
        """Return the arguments."""
        return BoundaryMetric, self.max_distance, *self.thresholds.tolist(), self.suppression

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch.

        Args:
            prediction: Edge probabilities (not logits), `[B, 1, H, W]`.
            target: 1 on edges, 0 elsewhere and 255 where unlabelled, `[B, 1, H, W]`. Unlabelled pixels are neither
                true edges nor, after the prediction is thinned, predicted ones. An image is cut to the rectangle that
                contains its labelled pixels, so that padding does not lengthen the diagonal.
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
        """Return all scores of the benchmark, as fractions."""
        with self.sync_context():
            return self._scores()

    def _scores(self) -> BoundaryScores:
        return boundary_scores(self.counts.cpu().numpy(), self.best.cpu().numpy(), self.thresholds)

    def _percent(self, score: float) -> Tensor:
        """Return a score in percent; nan if there is no edge at all, neither predicted nor true."""
        return torch.where(self.counts[[1, 3]].any(), 100 * score, torch.nan)

    def _image_counts(self, prediction: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.int64]:
        labelled = target != _UNLABELLED
        if not labelled.any():
            return np.zeros(self.counts.shape, dtype=np.int64)
        rows, columns = np.flatnonzero(labelled.any(axis=1)), np.flatnonzero(labelled.any(axis=0))
        window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        edges = prediction[window]
        if self.suppression:
            edges = suppress_non_maxima(edges)
        truth = thin(pack_levels((target[window] == 1).astype(np.int64), maps=1))[0] > 0
        return boundary_counts(edges, [truth], self.thresholds, self.max_distance, labelled[window])


class OdsF(BoundaryMetric):
    """Edge F-measure at the threshold best for the whole data set (optimal data set scale), in percent.

    Counts are summed over the images, and precision and recall are computed from the sums. The best F-measure may lie
    between two thresholds. This is the protocol of the BSDS boundary benchmark (Arbelaez et al., 2011), which SEISM
    follows and which Guo et al. (2025), section 3, report. On the benchmark's own self-test it gives the F-measures of
    the MATLAB code to 2e-4. Arguments and errors are those of `BoundaryMetric`.

    Example:
        >>> import torch
        >>> truth = torch.eye(16)[None, None]
        >>> metric = OdsF(thresholds=9)
        >>> metric.update(0.8 * truth, truth)
        >>> metric.compute().item()
        100.0
    """

    def compute(self) -> Tensor:
        """Return the score in percent; nan if there is no edge at all, neither predicted nor true."""
        return self._percent(self._scores().ods_f)


class OisF(BoundaryMetric):
    """Edge F-measure with the best threshold for each image (optimal image scale), in percent.

    Counts at the best thresholds are summed over the images before precision and recall are computed, as in the BSDS
    boundary benchmark. Arguments and errors are those of `BoundaryMetric`.

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
        """Return the score in percent; nan if there is no edge at all, neither predicted nor true."""
        return self._percent(self._scores().ois_f)


class EdgePrecision(BoundaryMetric):
    """Average precision of edges, the area under precision over recall, in percent.

    As in the BSDS boundary benchmark, precision is interpolated between the recalls that the thresholds reach, and is 0
    beyond them on both sides. Arguments and errors are those of `BoundaryMetric`.

    Example:
        >>> import torch
        >>> truth = torch.eye(16)[None, None]
        >>> metric = EdgePrecision(thresholds=9)
        >>> metric.update(torch.linspace(0.2, 1, 16) * truth, truth)
        >>> metric.compute().item()  # no threshold has a recall below an eighth
        88.0
    """

    def compute(self) -> Tensor:
        """Return the score in percent; nan if there is no edge at all, neither predicted nor true."""
        return self._percent(self._scores().ap)


def _threshold_array(thresholds: int | Sequence[float]) -> NDArray[np.float64]:
    if isinstance(thresholds, int):
        require(thresholds >= 1, "thresholds", thresholds, "be at least 1")
        # Computed as in the benchmark: values of 8-bit pictures equal some thresholds to the last bit.
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
    if not np.isin(targets, (0, 1, _UNLABELLED)).all():
        raise ValueError(
            f"`target` should hold 0, 1 and {_UNLABELLED}. Found values from {targets.min()} to {targets.max()}."
        )
