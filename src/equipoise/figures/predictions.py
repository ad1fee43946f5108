"""Figures of what networks compute: predictions beside labels, and distances of features to single-task ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars
from matplotlib.figure import Figure

from equipoise.figures.curves import draw_task_curves
from equipoise.figures.layout import TEXT_SIZE


def predictions(
    image: Any, labels: Mapping[str, Any], predicted: Mapping[str, Mapping[str, Any]], *, title: str = ""
) -> Figure:
    """Draw one sample: a column for each task, the labels in the first row, the predictions of each method below.

    Args:
        image: The input as a picture: uint8 `[3, H, W]`, an array or a tensor on the CPU.
        labels: The pictures of the labels by task (from `equipoise.tasks.Task.draw`), in the order of the columns. The
            place of a task without a label stays empty.
        predicted: For each method, the pictures of the predictions by task.
        title: The name of the sample.
    """
    tasks = list(dict.fromkeys([*labels, *(task for of in predicted.values() for task in of)]))
    rows: dict[str, Mapping[str, Any]] = {"label": labels, **predicted}
    height, width = np.asarray(image).shape[-2:]
    side = 1.7
    figure = Figure(
        figsize=(side * (len(tasks) + 1) + 0.4, side * height / width * len(rows) + 0.5), layout="constrained"
    )
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)  # type: ignore[union-attr]
    all_axes = figure.subplots(len(rows), len(tasks) + 1, squeeze=False)
    for axes in all_axes.flat:
        axes.set_axis_off()
    _show(all_axes[0, 0], image)
    all_axes[0, 0].set_title("image", fontsize=TEXT_SIZE)
    for row, (name, pictures) in enumerate(rows.items()):
        for column, task in enumerate(tasks, 1):
            if task in pictures:
                _show(all_axes[row, column], pictures[task])
            if row == 0:
                all_axes[row, column].set_title(task, fontsize=TEXT_SIZE)
        # The first column is free below the image: the names of the rows go there.
        if row:
            all_axes[row, 0].text(
                1, 0.5, name, transform=all_axes[row, 0].transAxes, ha="right", va="center", fontsize=TEXT_SIZE + 1
            )
    figure.suptitle(title, fontsize=TEXT_SIZE + 1, x=0.01, ha="left")
    return figure


def _show(axes: Any, picture: Any) -> None:
    axes.imshow(np.moveaxis(np.asarray(picture), 0, -1), interpolation="nearest")


def feature_distance(
    distances: polars.DataFrame, *, tasks: Sequence[str] | None = None, block: int | None = None
) -> Figure:
    """Draw the distance of the shared features to those of each single-task network, over training.

    Guo et al. (2025), figure 6.

    Args:
        distances: `step`, `task`, `distance`, as from `equipoise.diagnosis.FeatureDistance`; with a column `method`, a
            panel for each method.
        tasks: All tasks in order, so that each keeps its colour in a figure of some of them.
        block: The number of steps in a block; by default there are about 40 blocks.
    """
    rows = (("distance", "distance of features to single-task ones", r"squared $L_2$ distance"),)
    return draw_task_curves(distances, rows, tasks=tasks, block=block).finish()
