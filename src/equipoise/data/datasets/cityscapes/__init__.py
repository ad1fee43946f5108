"""Cityscapes: street scenes, as Gama & Grassi (2025) use them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.data.core.dataset import NO_OPTIONS, Dataset
from equipoise.data.core.sample import DatasetError, Transform
from equipoise.data.datasets.cityscapes.trees import (
    CATEGORIES,
    CLASSES,
    FULL_WIDTH,
    THINGS,
    UNLABELLED,
    OfficialTree,
    PreprocessedTree,
    find_tree,
)
from equipoise.data.storage.decoding import resample_image, resample_labels
from equipoise.data.storage.files import count_faults
from equipoise.tasks import Task
from equipoise.tasks.disparity import Disparity
from equipoise.tasks.instance_offsets import InstanceOffsets
from equipoise.tasks.semantic_segmentation import SemanticSegmentation

SIZE = (256, 512)
"""Height and width that the official images are reduced to by default."""

OFFICIAL_COUNTS = {"train": 2975, "val": 500}
"""How many images the official splits have."""


@register("cityscapes")
class Cityscapes(Dataset):
    """The finely annotated images of Cityscapes (Cordts et al., CVPR 2016) with the tasks and split of Gama & Grassi.

    On disk: either the official directories `leftImg8bit`, `gtFine` and `disparity` (see `OfficialTree`; each archive
    may be unpacked into a directory of its own, as Gama & Grassi do), or a `city_preprocess_W_H` made by their code.
    The `.npy` tree of MTAN's authors is not read: it has no instances, and its depth is a disparity in an unstated
    unit.

    Tasks: `seg`; `disparity`, (p - 1) / 256 pixels of the full width, scaled to the width that images are reduced to;
    `instance`, the offset of each pixel of a person or vehicle from its middle. A group of things that was annotated as
    one counts as one.

    All are reduced to `size`: images by averaging, labels to the nearest pixel between pixel centres. (Gama & Grassi
    reduce labels in this way, but take disparities from the corner of each block, two pixels of the full image away.)

    The official test images have no public labels, so the official validation images are `"test"`. A fifth of the
    training images is `"val"`. If all 2,975 are there, the split is exactly that of Gama & Grassi (section 3.2).

    Args:
        root: The directory.
        split: `"train"`, `"val"` or `"test"`.
        tasks: See `Dataset`.
        transform: See `Dataset`.
        classes: 19, or 7 for the categories of the classes.
        size: (height, width) to reduce to; Gama & Grassi have (128, 256) and (256, 512). The default is the latter, or
            the stored size if their code has reduced the images already.

    Raises:
        ValueError: `classes` or `size` is out of range.
        DatasetError: The directory is missing or lacks a part of the dataset.
    """

    source = (
        "https://www.cityscapes-dataset.com/downloads (leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip, "
        "disparity_trainvaltest.zip)"
    )

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        split: str = "train",
        tasks: Iterable[str] | None = None,
        transform: Transform | None = None,
        classes: Literal[7, 19] = 19,
        size: tuple[int, int] | None = None,
    ) -> None:
        if classes not in (7, 19):
            raise ValueError(f"`classes` should be 7 or 19. Found `classes = {classes}`.")
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(f"`size` should be (height, width), both at least 1. Found `size = {size}`.")
        self.classes = classes
        self.size = None if size is None else (size[0], size[1])
        options = {"classes": classes, "size": size}
        super().__init__(root, split=split, tasks=tasks, transform=transform, options=options)

    @classmethod
    def all_tasks(cls, root: str | Path | None = None, options: Mapping[str, Any] = NO_OPTIONS) -> tuple[Task, ...]:
        """Return segmentation, disparity and instance offsets."""
        names = tuple(name for _, name, _ in CLASSES)
        colours = tuple(colour for _, _, colour in CLASSES)
        if options.get("classes") == len(CATEGORIES):
            names = tuple(name for name, _ in CATEGORIES)
            colours = tuple(colours[group[0]] for _, group in CATEGORIES)
        width = (options.get("size") or SIZE)[1]
        return (
            SemanticSegmentation(name="seg", classes=names, colours=colours),
            Disparity(name="disparity", largest=width / 16),
            InstanceOffsets(name="instance", farthest=width / 16),
        )

    @classmethod
    def sources(cls, root: Path, options: Mapping[str, Any]) -> list[Path]:
        """Return the files that the tree names; the archives hold others besides."""
        return find_tree(root, cls.source).sources()

    def identify(self) -> list[str]:
        """Return `<official split>/<city>/<city>_<sequence>_<frame>`, or `<split>/<number>` of reduced files."""
        self._tree = find_tree(self.root, self.source)
        return self._tree.identify(self.split)

    def faults(self) -> list[DatasetError]:
        """Return an error if images are missing. Without all official ones the split is not that of Gama & Grassi."""
        if isinstance(self._tree, PreprocessedTree):
            return self._tree.faults(self.split)
        assert isinstance(self._tree, OfficialTree)
        official = "val" if self.split == "test" else "train"
        path = self._tree.directories["leftImg8bit"] / official
        return count_faults(path, len(self._tree.all_of(official)), OFFICIAL_COUNTS[official], self.source)

    def file(self, identifier: str, key: str) -> Path:
        """Return the file of an image or target."""
        return self._tree.file(identifier, key)

    def read(self, identifier: str, key: str) -> Tensor:
        """Return the image or a target, at the wanted size."""
        path = self.file(identifier, key)
        if key == "image":
            image = self._tree.image(path)
            return resample_image(image, self._size(image))
        stored = {"seg": self._tree.classes, "disparity": self._tree.disparity, "instance": self._tree.instances}
        labels = stored[key](path)
        size = self._tree.size(self.file(identifier, "image"))
        if labels.shape != size:
            raise DatasetError(path, f"should have the size of its image, {size}; it has {tuple(labels.shape)}")
        labels = resample_labels(labels, self._size(labels))
        encode = {"seg": self._encode_classes, "disparity": _encode_disparity, "instance": _encode_things}
        return encode[key](labels)

    def _size(self, stored: Tensor) -> tuple[int, int]:
        height, width = stored.shape[-2:]
        return self.size or (SIZE if isinstance(self._tree, OfficialTree) else (height, width))

    def _encode_classes(self, labels: Tensor) -> Tensor:
        if self.classes == len(CLASSES):
            return labels
        table = torch.full((256,), UNLABELLED, dtype=torch.uint8)
        for category, (_, group) in enumerate(CATEGORIES):
            table[list(group)] = category
        return table[labels.long()]


def _encode_disparity(labels: Tensor) -> Tensor:
    return (labels * (labels.shape[-1] / FULL_WIDTH))[None]


def _encode_things(labels: Tensor) -> Tensor:
    """Return the numbers of people and vehicles, and infinity elsewhere, see `InstanceOffsets`."""
    number = torch.where(labels < 1000, labels, labels // 1000)
    return labels.float().where(torch.isin(number, torch.tensor(THINGS)), torch.inf)[None]
