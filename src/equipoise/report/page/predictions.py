"""What networks predict, for the page's slider."""

import math
from typing import Any

from equipoise.report.page.pictures import picture_uri
from equipoise.report.predicted import Predictions

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
