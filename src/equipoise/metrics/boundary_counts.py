"""How many pixels of thresholded edge maps and of annotations find a partner."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from equipoise.metrics.matching_size import matching_sizes
from equipoise.metrics.pixel_matching import PixelMatcher
from equipoise.metrics.thinning import pack_levels, thin, unpack


def boundary_counts(
    prediction: NDArray[np.floating],
    annotations: Sequence[NDArray[np.bool_]],
    thresholds: NDArray[np.floating],
    max_distance: float,
    labelled: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Compares the edge map of one image with its annotations at every threshold, as the BSDS boundary benchmark does.

    At a threshold `t`, pixels with `prediction >= t` are thinned and matched one to one with each annotation. A
    predicted pixel counts as right once it is matched in any annotation; annotated pixels are counted over all
    annotations.

    The original (Arbelaez et al., 2011) solves the same assignment problem on a graph whose connections between
    unmatched pixels are few and drawn at random, and so loses about one match in a thousand; here it is solved exactly.

    Args:
        prediction: Edge probabilities, `[H, W]`.
        annotations: Edges drawn by each annotator, one pixel wide, `[H, W]`.
        thresholds: Ascending thresholds, `[T]`.
        max_distance: Greatest distance at which pixels may be matched, as a fraction of the image's diagonal.
        labelled: Where pixels count, `[H, W]`; everywhere if not given. Predictions are thinned before the others are
            dropped: cut out of the map, unlabelled regions would shape what thinning leaves, and a prediction of edges
            everywhere would be thinned to lines between them, next to the true edges.

    Returns:
        int64 `[4, T]`: matched predicted pixels, predicted pixels, matched annotated pixels, annotated pixels.

    Example:
        >>> truth = np.eye(8, dtype=bool)
        >>> boundary_counts(0.6 * truth, [truth], np.array([0.5, 0.7]), max_distance=0.1).tolist()
        [[8, 0], [8, 0], [8, 0], [8, 8]]
    """
    count = len(thresholds)
    words = thin(pack_levels(np.searchsorted(thresholds, prediction, side="right"), count))
    if labelled is not None:
        words[:, ~labelled] = 0
    positions = np.argwhere(words.any(axis=0))
    subsets = unpack(words[:, positions[:, 0], positions[:, 1]], count)
    reach = max_distance * math.hypot(*prediction.shape)
    counts = np.zeros((4, count), dtype=np.int64)
    counts[1] = subsets.sum(axis=1)
    counts[3] = sum(int(annotation.sum()) for annotation in annotations)
    annotated = [np.argwhere(annotation) for annotation in annotations]
    if len(annotated) == 1:
        # Which pixels are matched matters only to the union over annotators.
        counts[[0, 2]] = matching_sizes(positions, annotated[0], subsets, reach)
    else:
        counts[[0, 2]] = _matched_in_any(positions, annotated, subsets, reach)
    return counts


def _matched_in_any(
    predicted: NDArray[np.integer],
    annotated: Sequence[NDArray[np.integer]],
    subsets: NDArray[np.bool_],
    max_distance: float,
) -> NDArray[np.int64]:
    """How many predicted pixels of each set are matched in any annotation, and annotated ones in all: `[2, S]`."""
    matchers = [PixelMatcher(predicted, annotation, max_distance) for annotation in annotated]
    counts = np.zeros((2, len(subsets)), dtype=np.int64)
    for k, subset in enumerate(subsets):
        if k and np.array_equal(subset, subsets[k - 1]):
            counts[:, k] = counts[:, k - 1]
            continue
        matches = [matcher.match(subset) for matcher in matchers]
        counts[0, k] = np.logical_or.reduce([matched_prediction for matched_prediction, _ in matches]).sum()
        counts[1, k] = sum(int(matched_annotation.sum()) for _, matched_annotation in matches)
    return counts
