import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import morphology

from equipoise.metrics.thinning import pack_levels, thin, unpack


def thin_levels(levels: np.ndarray, maps: int) -> np.ndarray:
    """Booleans `[maps, H, W]`."""
    words = thin(pack_levels(levels, maps))
    return unpack(words.reshape(len(words), -1), maps).reshape(maps, *levels.shape)


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 10_000),
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    maps=st.sampled_from([1, 3, 64, 65, 99]),
    block=st.sampled_from([1, 3]),
)
def test_every_map_is_thinned_as_if_alone(seed: int, height: int, width: int, maps: int, block: int) -> None:
    levels = np.random.default_rng(seed).integers(0, maps + 1, size=(height, width))
    levels = np.kron(levels, np.ones((block, block), dtype=levels.dtype))
    thinned = thin_levels(levels, maps)
    for k in range(maps):
        assert np.array_equal(thinned[k], morphology.thin(levels > k))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (12, 12)])
def test_full_and_empty_maps(shape: tuple[int, int]) -> None:
    assert np.array_equal(thin_levels(np.ones(shape, dtype=int), 1)[0], morphology.thin(np.ones(shape)))
    assert not thin_levels(np.zeros(shape, dtype=int), 2).any()


def test_lines_stay_as_they_are() -> None:
    line = np.eye(9, dtype=int)
    line[0] = 1
    assert np.array_equal(thin_levels(line, 1)[0], line)
