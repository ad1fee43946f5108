"""Predictions beside labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars
from matplotlib.figure import Figure

from equipoise.figures.curves import curves_by_method
from equipoise.figures.layout import TEXT


def predictions(
    image: Any, labels: Mapping[str, Any], predicted: Mapping[str, Mapping[str, Any]], *, title: str = ""
) -> Figure:
    """One sample: a column a task; the labels in the first row, below them what every method predicts.

    Args:
        image: What the networks saw, as a picture: uint8 `[3, H, W]`, an array or a tensor on the CPU.
        labels: The picture of the label by task (as `equipoise.tasks.Task.draw` makes it), in the order to be drawn. A
            task without a label leaves its place empty.
        predicted: By method, the picture of the prediction by task.
        title: What the sample is.
    """
    tasks = list(dict.fromkeys([*labels, *(task for of in predicted.values() for task in of)]))
    rows: dict[str, Mapping[str, Any]] = {"label": labels, **predicted}
    height, width = np.asarray(image).shape[-2:]
    side = 1.7
    figure = Figure(
        figsize=(side * (len(tasks) + 1) + 0.4, side * height / width * len(rows) + 0.5), layout="constrained"
    )
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)  # type: ignore[union-attr]
    every = figure.subplots(len(rows), len(tasks) + 1, squeeze=False)
    for axes in every.flat:
        axes.set_axis_off()
    _show(every[0, 0], image)
    every[0, 0].set_title("image", fontsize=TEXT)
    for row, (name, pictures) in enumerate(rows.items()):
        for column, task in enumerate(tasks, 1):
            if task in pictures:
                _show(every[row, column], pictures[task])
            if row == 0:
                every[row, column].set_title(task, fontsize=TEXT)
        # The first column is free below the image: there stand the names of the rows.
        if row:
            every[row, 0].text(
                1, 0.5, name, transform=every[row, 0].transAxes, ha="right", va="center", fontsize=TEXT + 1
            )
    figure.suptitle(title, fontsize=TEXT + 1, x=0.01, ha="left")
    return figure


def _show(axes: Any, picture: Any) -> None:
    axes.imshow(np.moveaxis(np.asarray(picture), 0, -1), interpolation="nearest")


def feature_distance(
    distances: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None
) -> Figure:
    """Distance of the shared features to those of each single-task network, over training (P1, figure 6).

    Args:
        distances: `step`, `task`, `distance`, as of `equipoise.diagnosis.FeatureDistance`; with a column `method`, a
            panel for each.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: Steps in a block; by default about 40 blocks.
    """
    rows = (("distance", "features' distance to single-task", r"squared $L_2$ distance"),)
    return curves_by_method(distances, rows, tasks=tasks, block=block).finish()
