"""Draws samples of a dataset beside their labels, for people to look at."""

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from equipoise.data.base import Dataset

MARGIN = 4
HEADING = 16


def contact_sheet(dataset: Dataset, n: int = 8) -> Image.Image:
    """Draw samples spread evenly over a dataset: one row a sample, the image first, then every task.

    Args:
        dataset: The dataset, opened without normalisation (image values outside [0, 1] are cut off).
        n: The number of samples.

    Returns:
        The picture. A task without a label in a sample leaves its place empty.

    Raises:
        ValueError: ``n`` is not positive.
    """
    if n < 1:
        raise ValueError(f"`n` should be at least 1. Found `n = {n}`.")
    indices = torch.linspace(0, len(dataset) - 1, min(n, len(dataset))).round().long().tolist()
    rows: list[dict[str, Tensor]] = []
    for index in indices:
        sample = dataset[index]
        row = {"image": (sample["image"].clamp(0, 1) * 255).round().to(torch.uint8)}
        row |= {name: task.draw(sample[name]) for name, task in dataset.active_tasks.items() if name in sample}
        rows.append(row)

    height, width = (max(row["image"].shape[axis] for row in rows) + MARGIN for axis in (-2, -1))
    columns = ("image", *dataset.active_tasks)
    sheet = Image.new("RGB", (MARGIN + width * len(columns), HEADING + height * len(rows)), "white")
    pen = ImageDraw.Draw(sheet)
    for across, name in enumerate(columns):
        left = MARGIN + across * width
        pen.text((left, 2), name, fill="black")
        for down, row in enumerate(rows):
            if name in row:
                sheet.paste(Image.fromarray(row[name].permute(1, 2, 0).numpy()), (left, HEADING + down * height))
    return sheet
