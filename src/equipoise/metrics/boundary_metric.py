"""What metrics of edges share: the work of the boundary benchmark, image by image."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise.metrics.boundary_counts import boundary_counts
from equipoise.metrics.boundary_scores import BoundaryScores, best_counts, boundary_scores
from equipoise.metrics.edge_suppression import suppress_non_maxima
from equipoise.metrics.shared_state import SharedState
from equipoise.metrics.thinning import pack_levels, thin

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
