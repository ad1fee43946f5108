"""Pictures that are embedded in the page."""

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

_MAX_SVG_BYTES = 120_000
"""A larger drawing is embedded as PNG."""
_WIDE = 800
"""A figure with more pixels takes the whole width: its letters would be small in half a page."""
_PIXELS = 8_000_000
"""Pixels of all predictions together, so that the page of a study of many methods can still be opened."""
_SIDES = 96, 384
"""The smallest and the largest longer side of a prediction in pixels."""


@dataclass(frozen=True)
class EmbeddedFigure:
    """A figure for the page.

    Attributes:
        identifier: Its anchor on the page.
        title: Its heading.
        caption: What it shows.
        source: The picture as a `data:` URI.
        width: Its width in CSS pixels.
        height: Its height in CSS pixels.
    """

    identifier: str
    title: str
    caption: str
    source: str
    width: int
    height: int

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width of the page."""
        return self.width > _WIDE


def embed_figure(identifier: str, title: str, caption: str, figure: Figure) -> EmbeddedFigure:
    """Return a matplotlib figure for the page: as SVG, which is sharp at every size, or as PNG if that is smaller."""
    source, kind = _saved(figure, "svg", metadata={"Date": None}), "svg+xml"
    if len(source) > _MAX_SVG_BYTES:
        # The layout is done by now; to repeat it takes about as long as drawing.
        figure.set_layout_engine("none")
        source, kind = _few_colours(_saved(figure, "png", dpi=144)), "png"
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return EmbeddedFigure(identifier, title, caption, _uri(source, kind), width, height)


def prediction_viewer(predictions: Predictions) -> list[dict[str, Any]]:
    """Return the images, and by task the picture of the label and of every method's prediction."""
    pictures = sum(
        len(sample.labels) + sum(len(of_method) for of_method in sample.predictions.values())
        for sample in predictions.samples
    )
    smallest, largest = _SIDES
    side = min(largest, max(smallest, round(math.sqrt(_PIXELS / max(1, pictures)))))
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


def picture_uri(picture: np.ndarray, side: int, *, labels: bool) -> str:
    """Return a picture as a `data:` URI.

    Args:
        picture: uint8 `[3, H, W]`.
        side: Maximum pixels of the longer side.
        labels: Whether its colours have a meaning, so that none may be mixed from others.
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
    # The same figure makes the same file: without a date, and without random identifiers.
    with matplotlib.rc_context({"svg.hashsalt": "equipoise"}):
        figure.savefig(file, format=kind, **options)
    return file.getvalue()


def _few_colours(png: bytes) -> bytes:
    """Return a drawing with a palette of 128 colours, which looks the same with a third of the bytes."""
    file = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
