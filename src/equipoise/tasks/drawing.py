"""Pictures of targets: colours of classes, shades of values, and text."""

import colorsys
from functools import cache

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

_GOLDEN_RATIO = 0.618033988749895
_TEXT_HEIGHT, _TEXT_WIDTH = 16, 96
"""Size in pixels of a picture of text."""


def distinct_colours(count: int) -> tuple[tuple[int, int, int], ...]:
    """Return `count` colours (RGB, 0 to 255) of which neighbours differ much.

    The first colours are the same for every count. Hues advance by the golden ratio, which spreads them evenly. Three
    levels of saturation and value separate hues that come close after a full turn.

    Example:
        >>> distinct_colours(2) == distinct_colours(40)[:2]
        True
    """
    levels = ((0.55, 0.95), (0.85, 0.75), (0.45, 0.6))
    colours = []
    for index in range(count):
        red, green, blue = colorsys.hsv_to_rgb(index * _GOLDEN_RATIO % 1, *levels[index % len(levels)])
        colours.append((round(red * 255), round(green * 255), round(blue * 255)))
    return tuple(colours)


def paint(indices: Tensor, colours: tuple[tuple[int, int, int], ...]) -> Tensor:
    """Return the picture, uint8 `[3, H, W]`, of a map `[H, W]` of indices into `colours`."""
    table = torch.tensor(colours, dtype=torch.uint8)
    return table[indices.long().cpu()].permute(2, 0, 1).contiguous()


@cache
def _table(colour_map: str) -> tuple[tuple[int, int, int], ...]:
    entries = matplotlib.colormaps[colour_map](range(256), bytes=True)
    return tuple((int(red), int(green), int(blue)) for red, green, blue, _ in entries)


def shade(values: Tensor, colour_map: str) -> Tensor:
    """Return the picture, uint8 `[3, H, W]`, of values `[H, W]` in [0, 1] (clamped, NaN as 0) in a colour map."""
    return paint((values.float().nan_to_num(nan=0).clamp(0, 1) * 255).round(), _table(colour_map))


def text_image(text: str) -> Tensor:
    """Return a picture, uint8 `[3, 16, 96]`, of a text in black on white. A long text is cut off.

    Example:
        >>> text_image("cat").shape
        torch.Size([3, 16, 96])
    """
    picture = Image.new("RGB", (_TEXT_WIDTH, _TEXT_HEIGHT), "white")
    ImageDraw.Draw(picture).text((2, 2), text, fill="black")
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
