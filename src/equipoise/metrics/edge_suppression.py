"""Non-maximum suppression of edge maps."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# The settings with which published boundary scores are computed.
SMOOTHING_RADIUS = 4
BORDER = 5
TOLERANCE = 1.01


def suppress_non_maxima(edges: NDArray[np.floating]) -> NDArray[np.float64]:
    """Keeps an edge map where it peaks across the edge, and sets the rest to 0.

    The step that structured edges (Dollar and Zitnick, 2015) and the evaluation of HED take before thresholding: the
    direction of an edge is the one of largest curvature after smoothing with a triangle of radius 4; a pixel goes when
    it is less than 1/1.01 of the map (linearly interpolated) one pixel to either side across the edge; and what is left
    fades to 0 over the last 5 pixels before the border, where maps are noisy.

    Args:
        edges: Edge probabilities, `[H, W]`.

    Returns:
        The map with non-maxima at 0, `[H, W]`.

    Example:
        >>> ridge = np.tile(np.array([0, 0, 0, 0, 0, 0, 0.2, 0.5, 0.9, 0.5, 0.2, 0, 0, 0, 0, 0, 0]), (15, 1))
        >>> np.flatnonzero(suppress_non_maxima(ridge)[7])
        array([8])
    """
    edges = edges.astype(np.float64)
    angle = _angle_across(_smooth(edges))
    rows, columns = np.indices(edges.shape, dtype=np.float64)
    kept = edges.copy()
    for side in (-1, 1):
        at = np.stack([rows + side * np.sin(angle), columns + side * np.cos(angle)])
        neighbour = ndimage.map_coordinates(edges, at, order=1, mode="nearest")
        kept[edges * TOLERANCE < neighbour] = 0
    return kept * _fade(edges.shape[0])[:, None] * _fade(edges.shape[1])


def _smooth(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    triangle = np.concatenate([np.arange(1, SMOOTHING_RADIUS + 2), np.arange(SMOOTHING_RADIUS, 0, -1)])
    for axis in (0, 1):
        edges = ndimage.correlate1d(edges, triangle / triangle.sum(), axis=axis, mode="reflect")
    return edges


def _angle_across(smooth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Direction across the edge, radians from the column axis to the row axis."""
    by_row, by_column = np.gradient(smooth)
    by_row_twice, mixed = np.gradient(by_row)
    by_column_twice = np.gradient(by_column, axis=1)
    # The original takes the sign of 0 as 0 and so mistakes an exactly horizontal edge for a vertical one.
    sign = np.where(mixed > 0, -1, 1)
    return np.mod(np.arctan(by_row_twice * sign / (by_column_twice + 1e-5)), np.pi)


def _fade(size: int) -> NDArray[np.float64]:
    distance = np.minimum(np.arange(size), np.arange(size)[::-1])
    return np.minimum(distance / BORDER, 1)
