"""Draws samples of a dataset beside their labels, for people to look at."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from equipoise.data.core.dataset import Dataset

MARGIN, LINE, LETTERS = 8, 20, 13
"""Pixels between pictures, for a line of text, and of its letters."""

SMALLEST, LARGEST = 128, 256
"""Pixels of the longer side: smaller pictures are enlarged by a whole number, larger ones shrunk."""


@dataclass(frozen=True)
class _Row:
    """One sample: the name of it, and its pictures by column."""

    caption: str
    pictures: dict[str, Image.Image]


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
    rows = [_row(dataset, index) for index in _spread(dataset, n)]
    return _assemble(_title(dataset), rows, (dataset.input, *dataset.active_tasks))


def corruption_sheet(right: Dataset, wrong: Dataset, n: int = 8) -> Image.Image:
    """Draw right labels beside wrong ones, as P1 does in Fig. 5: one row a sample, the image, then task by task.

    Args:
        right: The dataset as it is, opened without transforms.
        wrong: The same dataset, opened with a :class:`equipoise.data.LabelNoise`.
        n: The number of samples.

    Returns:
        The picture. An asterisk is over the wrong labels of a task, which are to the right of the right ones.

    Raises:
        ValueError: ``n`` is not positive, or ``wrong`` has no corruption.
    """
    if wrong.corruption is None:
        raise ValueError(f"The labels of the split 'train' alone are corrupted. Found `split = {wrong.split!r}`.")
    rows = []
    for index in _spread(right, n):
        row = _row(right, index)
        row.pictures.update({f"{name}*": picture for name, picture in _row(wrong, index).pictures.items()})
        rows.append(row)
    columns = (column for name in right.active_tasks for column in (name, f"{name}*"))
    return _assemble(f"{_title(right)}, * corrupted", rows, (right.input, *columns))


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
    """The picture at a size at which something can be seen of it."""
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
