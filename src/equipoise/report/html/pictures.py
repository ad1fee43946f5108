"""Pictures that are a part of the page itself."""

import base64
import io
import math
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from equipoise.report.predictions import Predictions

_HEAVY = 120_000
"""Bytes from which on a drawing of many lines is embedded as an image of points."""
_WIDE = 800
"""Pixels from which on a figure has small letters in half a page."""


@dataclass(frozen=True)
class EmbeddedFigure:
    """A figure for the page.

    Attributes:
        identifier: Its anchor on the page.
        title: Its heading.
        caption: What is seen.
        source: The picture as a `data:` URI.
        width: In CSS pixels.
        height: Likewise.
    """

    identifier: str
    title: str
    caption: str
    source: str
    width: int
    height: int

    @property
    def wide(self) -> bool:
        """Whether it wants the whole width of a page."""
        return self.width > _WIDE


def plate(identifier: str, title: str, caption: str, figure: Figure) -> EmbeddedFigure:
    """A matplotlib figure for the page: as SVG, which is sharp at every size, or as PNG where that would be heavy."""
    source, kind = _saved(figure, "svg", metadata={"Date": None}), "svg+xml"
    if len(source) > _HEAVY:
        # It is laid out by now, which takes about as long as drawing.
        figure.set_layout_engine("none")
        source, kind = _few_colours(_saved(figure, "png", dpi=144)), "png"
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return EmbeddedFigure(identifier, title, caption, _uri(source, kind), width, height)


def picture_uri(picture: np.ndarray, side: int, *, labels: bool) -> str:
    """A picture, uint8 `[3, H, W]`, as a `data:` URI.

    Args:
        picture: The picture.
        side: Pixels of the longer side at most.
        labels: Whether its colours mean something, so that none may be mixed from others.
    """
    image = Image.fromarray(np.ascontiguousarray(np.moveaxis(picture, 0, -1)))
    smaller = min(1.0, side / max(image.size))
    if smaller < 1:
        size = max(1, round(image.width * smaller)), max(1, round(image.height * smaller))
        image = image.resize(size, Image.Resampling.NEAREST if labels else Image.Resampling.BOX)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return _uri(file.getvalue(), "png")


def _saved(figure: Figure, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    # The same figure makes the same file: no date, and no identifiers from chance.
    with matplotlib.rc_context({"svg.hashsalt": "equipoise"}):
        figure.savefig(file, format=kind, **options)
    return file.getvalue()


def _few_colours(png: bytes) -> bytes:
    """A drawing has few colours and their shades: a palette of 128 shows the same with a third of the bytes."""
    file = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


_BUDGET = 8_000_000
"""Pixels of all pictures together, so that the page of a study of many methods can still be opened."""
_SIDES = 96, 384


def prediction_viewer(predictions: Predictions) -> list[dict[str, Any]]:
    """The images, and by task the label's picture and that of every method's prediction."""
    pictures = sum(
        len(sample.labels) + sum(len(of_method) for of_method in sample.predictions.values())
        for sample in predictions.samples
    )
    smallest, largest = _SIDES
    side = min(largest, max(smallest, round(math.sqrt(_BUDGET / max(1, pictures)))))
    return [
        {
            "identifier": sample.identifier,
            "height": sample.image.shape[1],
            "width": sample.image.shape[2],
            "image": picture_uri(sample.image, side, labels=False),
            "labels": {task: picture_uri(one, side, labels=True) for task, one in sample.labels.items()},
            "predictions": {
                method: {task: picture_uri(one, side, labels=True) for task, one in of_method.items()}
                for method, of_method in sample.predictions.items()
            },
        }
        for sample in predictions.samples
    ]
