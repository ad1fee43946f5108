"""Procedural textures: linear-light colours from surface coordinates in metres.

Every texture is a function of `Samples`, evaluated at once for all pixels that show it. It is evaluated at one point of
each pixel, so detail finer than a pixel must fade into its mean, as in a camera.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

_NOISE_SIZE = 256


@dataclass(frozen=True)
class Samples:
    """Surface points that share a texture.

    Attributes:
        u: First surface coordinate in metres, shape `[N]`.
        v: Second surface coordinate in metres, shape `[N]`.
        first: Main colour, linear light, shape `[N, 3]`.
        second: Other colour, linear light, shape `[N, 3]`.
        period: Size in metres of the texture's repeating element, shape `[N]`.
        footprint: Width in metres of the surface that the pixel covers, shape `[N]`.
    """

    u: Array
    v: Array
    first: Array
    second: Array
    period: Array
    footprint: Array

    def mix(self, amount: Array) -> Array:
        """Return colours between `first` (amount 0) and `second` (amount 1), `[N, 3]`."""
        return self.first + (self.second - self.first) * amount[:, None]

    def fade(self, detail: Array, mean: float, size: float = 1.0) -> Array:
        """Return `detail`, moved to its `mean` where an element of `size` periods is finer than about two pixels."""
        contrast = np.clip(self.period * size / (2.0 * self.footprint) - 0.4, 0.0, 1.0)
        return mean + (detail - mean) * contrast


@lru_cache(maxsize=1)
def _noise_table() -> Array:
    """Return a periodic map of fractal noise with mean 0.5 and standard deviation 0.2."""
    generator = np.random.default_rng(20_240_501)
    white = np.fft.rfft2(generator.standard_normal((_NOISE_SIZE, _NOISE_SIZE)))
    rows = np.fft.fftfreq(_NOISE_SIZE) * _NOISE_SIZE
    columns = np.fft.rfftfreq(_NOISE_SIZE) * _NOISE_SIZE
    frequency = np.hypot(rows[:, None], columns[None, :])
    # Below 8 cycles a table is flat, so that the repetition every 16 units cannot be seen.
    spectrum = np.where(frequency > 0, 1.0 / np.maximum(frequency, 8.0) ** 1.4, 0.0)
    smooth = np.fft.irfft2(white * spectrum, s=(_NOISE_SIZE, _NOISE_SIZE))
    return np.clip(0.5 + 0.2 * smooth / smooth.std(), 0.0, 1.0).astype(np.float32)


def noise(x: Array, y: Array) -> Array:
    """Return smooth noise in [0, 1], about one unit wide, bilinear in a table that repeats every 16 units."""
    table = _noise_table()
    x, y = x * (_NOISE_SIZE / 16), y * (_NOISE_SIZE / 16)
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right, down = x - column, y - row
    mask = _NOISE_SIZE - 1
    row0, row1, column0, column1 = row & mask, (row + 1) & mask, column & mask, (column + 1) & mask
    upper = table[row0, column0] * (1 - right) + table[row0, column1] * right
    lower = table[row1, column0] * (1 - right) + table[row1, column1] * right
    return upper * (1 - down) + lower * down


def cell_value(column: Array, row: Array) -> Array:
    """Return one pseudo-random number in [0, 1] for every integer cell."""
    mixed = np.sin(column * 127.1 + row * 311.7) * 43758.5453
    return mixed - np.floor(mixed)


def plaster(samples: Samples) -> Array:
    """Blotches of the second colour, `period` wide."""
    return samples.mix(samples.fade(noise(samples.u / samples.period, samples.v / samples.period), 0.5))


def wood(samples: Samples) -> Array:
    """Grain along u, dark lines about `period` apart, bent by noise."""
    u, v = samples.u / samples.period, samples.v / samples.period
    bend = noise(u * 0.06, v * 0.3)
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (v * 0.5 + 3.0 * bend))
    fibres = noise(u * 0.15 + 5.0, v * 2.0)
    return samples.mix(np.clip(samples.fade(0.65 * rings**2 + 0.5 * fibres, 0.5), 0.0, 1.0))


def planks(samples: Samples) -> Array:
    """Boards `period` wide and eight times as long, each with its own tone, with dark gaps."""
    v = samples.v / samples.period
    row = np.floor(v)
    u = samples.u / (samples.period * 8) + row * 0.37
    column = np.floor(u)
    tone = cell_value(column, row)
    across, along = v - row, u - column
    gap = (across < 0.05) | (along < 0.008)
    fibres = noise(samples.u / samples.period * 0.6 + 3 * tone, v * 5.0)
    colour = samples.mix(np.clip(0.7 * tone + 0.5 * samples.fade(fibres, 0.5, 0.3) - 0.1, 0.0, 1.0))
    return colour * (1.0 - 0.6 * samples.fade(gap.astype(np.float64), 0.06, 0.25))[:, None]


def tiles(samples: Samples) -> Array:
    """Square tiles with grout of the second colour and a slightly different tone each."""
    u, v = samples.u / samples.period, samples.v / samples.period
    column, row = np.floor(u), np.floor(v)
    across, along = u - column, v - row
    grout = (across < 0.04) | (along < 0.04)
    tone = 0.88 + 0.12 * cell_value(column, row) + 0.1 * (noise(u * 3, v * 3) - 0.5)
    share = samples.fade(grout.astype(np.float64), 0.08, 0.15)[:, None]
    return samples.first * tone[:, None] * (1 - share) + samples.second * share


def checks(samples: Samples) -> Array:
    """A chessboard of the two colours."""
    parity = (np.floor(samples.u / samples.period) + np.floor(samples.v / samples.period)) % 2
    return samples.mix(samples.fade(parity, 0.5))


def stripes(samples: Samples) -> Array:
    """Stripes along v, `period` from one to the next."""
    wave = samples.u / samples.period
    return samples.mix(samples.fade(((wave - np.floor(wave)) < 0.45).astype(np.float64), 0.45, 0.5))


def dots(samples: Samples) -> Array:
    """Round dots of the second colour in every other cell."""
    u, v = samples.u / samples.period, samples.v / samples.period
    row = np.floor(v)
    u = u + 0.5 * (row % 2)
    distance = np.hypot(u - np.floor(u) - 0.5, v - row - 0.5)
    return samples.mix(samples.fade((distance < 0.28).astype(np.float64), 0.25, 0.6))


def fabric(samples: Samples) -> Array:
    """A woven cloth: fine threads over soft blotches."""
    u, v = samples.u / samples.period, samples.v / samples.period
    threads = 0.5 + 0.5 * np.sin(2 * np.pi * u) * np.sin(2 * np.pi * v)
    blotches = noise(u * 0.12, v * 0.12)
    return samples.mix(0.5 * samples.fade(threads, 0.5, 0.6) + 0.5 * blotches)


def painting(samples: Samples) -> Array:
    """An abstract landscape: three tones in bands and blots that noise decides."""
    u, v = samples.u / samples.period, samples.v / samples.period
    hills = noise(u * 1.5, v * 0.4)
    blots = noise(u * 2.5 + 7.0, v * 2.5)
    amount = (hills + 0.6 * v - np.floor(hills + 0.6 * v) > 0.5).astype(np.float64)
    colour = samples.mix(amount)
    third = samples.second[:, [2, 0, 1]]
    return np.where((blots > 0.62)[:, None], third, colour) * (0.75 + 0.5 * blots)[:, None]


def window_view(samples: Samples) -> Array:
    """The view through a window: sky with clouds over something green; v is metres above the floor."""
    height = samples.v - 1.25 + 0.25 * (noise(samples.u * 2.0, samples.u * 0.0) - 0.5)
    clouds = np.clip(2.2 * noise(samples.u * 1.2, samples.v * 2.0) - 0.8, 0.0, 1.0)[:, None]
    sky = samples.first * (1 - clouds) + clouds
    land = samples.second * (0.5 + noise(samples.u * 6, samples.v * 6))[:, None]
    return np.where((height > 0)[:, None], sky, land)
