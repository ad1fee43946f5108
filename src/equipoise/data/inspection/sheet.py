"""Contact sheets: samples of a dataset beside their labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from equipoise.data.core.dataset import Dataset

MARGIN, LINE, LETTERS = 8, 20, 13
"""Sizes in pixels: of a margin, a line of text, and its letters."""

SMALLEST, LARGEST = 128, 256
"""Bounds of the longer side in pixels. Smaller pictures are enlarged by a whole number, larger ones shrunk."""


@dataclass(frozen=True)
class _Row:
    """One sample: its name, and its pictures by column."""

    caption: str
    pictures: dict[str, Image.Image]


def contact_sheet(dataset: Dataset, n: int = 8) -> Image.Image:
    """Draw samples spread evenly over a dataset: a row for each sample, the image first, then every task.

    Args:
        dataset: The dataset, opened without normalisation. Image values outside [0, 1] are clipped.
        n: The number of samples.

    Returns:
        The picture. If a sample has no label of a task, its place stays empty.

    Raises:
        ValueError: `n` is not positive.
    """
    rows = [_row(dataset, index) for index in _spread(dataset, n)]
    return _assemble(_title(dataset), rows, (dataset.input, *dataset.active_tasks))


def label_noise_sheet(right: Dataset, wrong: Dataset, n: int = 8) -> Image.Image:
    """Draw right labels beside wrong ones, as in Guo et al. (2025), Fig. 5: a row for each sample, then task by task.

    Args:
        right: The dataset with its right labels, opened without transforms.
        wrong: The same dataset, opened with a `equipoise.data.LabelNoise`.
        n: The number of samples.

    Returns:
        The picture. Wrong labels follow the right ones of their task and are marked with an asterisk.

    Raises:
        ValueError: `n` is not positive, or `wrong` has no label noise.
    """
    if wrong.label_noise is None:
        raise ValueError(f"Label noise is in the split 'train' alone. Found `split = {wrong.split!r}`.")
    rows = []
    for index in _spread(right, n):
        row = _row(right, index)
        row.pictures.update({f"{name}*": picture for name, picture in _row(wrong, index).pictures.items()})
        rows.append(row)
    columns = (column for name in right.active_tasks for column in (name, f"{name}*"))
    return _assemble(f"{_title(right)}, * with label noise", rows, (right.input, *columns))


def _spread(dataset: Dataset, n: int) -> list[int]:
    if n < 1:
        raise ValueError(f"`n` should be at least 1. Found `n = {n}`.")
    return torch.linspace(0, len(dataset) - 1, min(n, len(dataset))).round().long().tolist()


def _title(dataset: Dataset) -> str:
    return f"{dataset.name}, {dataset.split}: {len(dataset)} samples"


def _row(dataset: Dataset, index: int) -> _Row:
    sample = dataset[index]
    pictures = {dataset.input: dataset.draw_input(sample[dataset.input])}
    pictures |= {name: task.draw(sample[name]) for name, task in dataset.active_tasks.items() if name in sample}
    caption = dataset.identifiers[index]
    if isinstance(sample[dataset.input], Tensor):
        height, width = sample[dataset.input].shape[-2:]
        caption += f" ({width}x{height})"
    return _Row(caption, {name: _fitted(picture) for name, picture in pictures.items()})


def _fitted(picture: Tensor) -> Image.Image:
    """Return the picture at a size at which it can be seen."""
    image = Image.fromarray(picture.permute(1, 2, 0).numpy())
    longest = max(image.size)
    if longest > LARGEST:
        return image.resize([max(1, round(side * LARGEST / longest)) for side in image.size], Image.Resampling.BOX)
    factor = -(-SMALLEST // longest)
    return image.resize([side * factor for side in image.size], Image.Resampling.NEAREST)


def _assemble(title: str, rows: Sequence[_Row], columns: Sequence[str]) -> Image.Image:
    font = ImageFont.load_default(LETTERS)
    lefts, right = {}, MARGIN
    for name in columns:
        lefts[name] = right
        widths = [row.pictures[name].width for row in rows if name in row.pictures]
        right += max(*widths, SMALLEST // 2, round(font.getlength(name))) + MARGIN
    heights = [max(picture.height for picture in row.pictures.values()) + LINE + MARGIN for row in rows]
    top = 2 * LINE + MARGIN
    sheet = Image.new("RGB", (right, top + sum(heights)), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN), title, fill="black", font=font)
    for name, left in lefts.items():
        pen.text((left, MARGIN + LINE), name, fill="black", font=font)
    for row, height in zip(rows, heights, strict=True):
        pen.text((MARGIN, top), row.caption, fill="dimgrey", font=font)
        for name, left in lefts.items():
            if name in row.pictures:
                sheet.paste(row.pictures[name], (left, top + LINE))
        top += height
    return sheet
