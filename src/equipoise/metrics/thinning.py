"""Thinning and non-maximum suppression of edge maps.

Many binary maps of one image are thinned at once. Each pixel has 64-bit words in which bit `k` belongs to map `k`; the
conditions for removing a pixel are boolean algebra on whole words. So 99 thresholds of an edge map cost as much as two
maps. A pixel is visited again only if one of its neighbours changed.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Words = NDArray[np.uint64]

# The settings of non-maximum suppression with which published boundary scores are computed.
_SMOOTHING_RADIUS = 4
_BORDER = 5
_TOLERANCE = 1.01


def pack_levels(levels: NDArray[np.integer], maps: int) -> Words:
    """Return nested binary maps as words: a pixel of level `n` is set in the maps `0 .. n - 1`.

    Args:
        levels: The number of maps in which each pixel is set, `[H, W]`, 0 to `maps`.
        maps: The number of maps.

    Returns:
        uint64 `[words, H, W]`, with bit `k % 64` of word `k // 64` for map `k`.

    Example:
        >>> pack_levels(np.array([[0, 1, 3]]), maps=3)
        array([[[0, 1, 7]]], dtype=uint64)
    """
    is_set = np.arange(-(-maps // 64) * 64) < np.arange(maps + 1)[:, None]
    table = np.packbits(is_set, axis=1, bitorder="little").view("<u8").astype(np.uint64)
    return np.ascontiguousarray(table.T[:, levels])


def unpack(words: Words, maps: int) -> NDArray[np.bool_]:
    """Return the bits of words `[words, N]` as booleans `[maps, N]`."""
    octets = np.ascontiguousarray(words.T).astype("<u8").view(np.uint8)
    return np.unpackbits(octets, axis=1, bitorder="little", count=maps).T.astype(bool)


def thin(words: Words) -> Words:
    """Thin every map until nothing changes, as MATLAB's `bwmorph(map, "thin", inf)` does.

    This is the parallel algorithm of Guo and Hall (1989) with two sub-iterations, variant A1. A pixel is removed if it
    connects nothing (its neighbourhood has one crossing), is not the end of a line (two or three pairs of neighbours)
    and lies on the side of the stroke that the sub-iteration peels. Outside of the image no pixel is set.

    Args:
        words: uint64 `[words, H, W]`, see `pack_levels`.

    Returns:
        The thinned maps in the same form.

    Example:
        >>> block = np.zeros((5, 7), dtype=int)
        >>> block[1:4, 1:6] = 1
        >>> print(thin(pack_levels(block, maps=1))[0])
        [[0 0 0 0 0 0 0]
         [0 0 0 0 0 0 0]
         [0 0 1 1 1 0 0]
         [0 0 0 0 0 0 0]
         [0 0 0 0 0 0 0]]
    """
    padded = np.pad(words, ((0, 0), (1, 1), (1, 1)))
    width = padded.shape[2]
    flat = padded.reshape(-1)
    # East, then anticlockwise, as in the paper.
    offsets = np.array([1, 1 - width, -width, -1 - width, -1, width - 1, width, width + 1])
    everywhere = np.append(offsets, 0)
    active = np.flatnonzero(flat)
    touched = np.empty(flat.shape, dtype=bool)
    previously_changed = active  # each sub-iteration visits every pixel at least once
    sub_iteration = 0
    while active.size:
        neighbours = [flat[active + offset] for offset in offsets]
        centre = flat[active]
        gone = centre & _removable(neighbours, sub_iteration)
        hit = np.flatnonzero(gone)
        changed = active[hit]
        flat[changed] = centre[hit] & ~gone[hit]
        # This kind of sub-iteration ran two sub-iterations ago: its decisions can differ only near changes since then.
        touched[:] = False
        for offset in everywhere:
            touched[changed + offset] = True
            touched[previously_changed + offset] = True
        active = np.flatnonzero(touched & (flat != 0))
        previously_changed = changed
        sub_iteration += 1
    return padded[:, 1:-1, 1:-1]


def _removable(neighbours: list[Words], sub_iteration: int) -> Words:
    x1, x2, x3, x4, x5, x6, x7, x8 = neighbours
    crossings = [~x1 & (x2 | x3), ~x3 & (x4 | x5), ~x5 & (x6 | x7), ~x7 & (x8 | x1)]
    some, several = _at_least_one_and_two(crossings)
    one_crossing = some & ~several
    pairs, other_pairs = [x1 | x2, x3 | x4, x5 | x6, x7 | x8], [x2 | x3, x4 | x5, x6 | x7, x8 | x1]
    two_pairs = _at_least_one_and_two(pairs)[1] & _at_least_one_and_two(other_pairs)[1]
    four_pairs = (
        pairs[0] & pairs[1] & pairs[2] & pairs[3] & other_pairs[0] & other_pairs[1] & other_pairs[2] & other_pairs[3]
    )
    kept_side = (x2 | x3 | ~x8) & x1 if sub_iteration % 2 == 0 else (x6 | x7 | ~x4) & x5
    return one_crossing & two_pairs & ~four_pairs & ~kept_side


def _at_least_one_and_two(bits: list[Words]) -> tuple[Words, Words]:
    some, several = bits[0], np.zeros_like(bits[0])
    for bit in bits[1:]:
        several = several | (some & bit)
        some = some | bit
    return some, several


def suppress_non_maxima(edges: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return an edge map with all pixels set to 0 that are no maximum across the edge.

    Structured edges (Dollar and Zitnick, 2015) and the evaluation of HED do this before thresholding. The direction
    across an edge is that of largest curvature after smoothing with a triangle of radius 4. A pixel is removed if it is
    less than 1/1.01 of the map (linearly interpolated) one pixel to either side across the edge. The remaining values
    fade to 0 over the last 5 pixels before the border, where maps are noisy.

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
        kept[edges * _TOLERANCE < neighbour] = 0
    return kept * _fade(edges.shape[0])[:, None] * _fade(edges.shape[1])


def _smooth(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    triangle = np.concatenate([np.arange(1, _SMOOTHING_RADIUS + 2), np.arange(_SMOOTHING_RADIUS, 0, -1)])
    for axis in (0, 1):
        edges = ndimage.correlate1d(edges, triangle / triangle.sum(), axis=axis, mode="reflect")
    return edges


def _angle_across(smooth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the direction across the edge, in radians from the column axis to the row axis."""
    by_row, by_column = np.gradient(smooth)
    by_row_twice, mixed = np.gradient(by_row)
    by_column_twice = np.gradient(by_column, axis=1)
    # The original takes the sign of 0 as 0 and so mistakes an exactly horizontal edge for a vertical one.
    sign = np.where(mixed > 0, -1, 1)
    return np.mod(np.arctan(by_row_twice * sign / (by_column_twice + 1e-5)), np.pi)


def _fade(size: int) -> NDArray[np.float64]:
    distance = np.minimum(np.arange(size), np.arange(size)[::-1])
    return np.minimum(distance / _BORDER, 1)
