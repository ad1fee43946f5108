"""NYU Depth v2, the labelled set, at 160x120 pixels."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from equipoise._core.registry import register
from equipoise.data.core.dataset import NO_OPTIONS, Dataset
from equipoise.data.core.sample import DatasetError, Transform
from equipoise.data.core.splits import check_share, divide, held_out
from equipoise.data.datasets.nyud import NYU_CLASSES
from equipoise.data.storage.files import read_colours, read_lines, read_plane
from equipoise.tasks import Task
from equipoise.tasks.depth import Depth
from equipoise.tasks.edges import Edges
from equipoise.tasks.semantic_segmentation import SemanticSegmentation

UNLABELLED = 255


@register("nyud_mini")
class NyudMini(Dataset):
    """The 1,449 labelled images of NYU Depth v2 (Silberman et al., ECCV 2012) at 160x120, in the official split.

    On disk: `rgb/NNNN.jpg`; `depth/NNNN.png`, 8 bits, metres = (v + 0.5) / 25.5, without holes;
    `label40/NNNN.png`, 0 to 39 or 255 where unlabelled; `train.txt` (795) and `test.txt` (654) with one number
    NNNN a line. The training images have no class 39 (it is unlabelled there), the test images have.

    Tasks: `seg` (40 classes), `depth`, and `edge`, which `label_borders` draws from the labels. These are not the edges
    of the public multi-task NYUD files, which cannot be made from labels.

    The official split has no validation part. `val` is held out of train in whole scenes. The numbers follow the order
    of recording and the split never divides a scene. So every gap in the training numbers is a border between scenes,
    and a run of consecutive numbers is one scene or several whole ones. Neighbouring images of a scene are
    near-copies: a network would know single held-out images from training. Runs are taken in the order of a hash as
    long as they fit into the share, so the same part is held out on every machine and for every training seed. If none
    fits, something is held out all the same, see `equipoise.data.core.splits.held_out`.

    Args:
        root: The directory.
        split: `"train"`, `"val"` or `"test"`.
        tasks: See `Dataset`.
        transform: See `Dataset`.
        validation: The share of the training images to hold out, in [0, 1). With 0 all 795 are for training, which is
            the protocol of the papers, and `"val"` cannot be opened.
        validation_seed: The seed that chooses the held-out scenes.

    Raises:
        ValueError: `validation` is out of range, or it is 0 and the split is `"val"`.
        DatasetError: The directory is missing or lacks a part of the dataset, or a list is empty or no list.
    """

    source = (
        "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html (the labelled dataset), reduced to 160x120 "
        "in the layout that `equipoise.data.datasets.nyud_mini` describes"
    )
    contents = ("rgb", "depth", "label40", "train.txt", "test.txt")

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        split: str = "train",
        tasks: Iterable[str] | None = None,
        transform: Transform | None = None,
        validation: float = 0.1,
        validation_seed: int = 0,
    ) -> None:
        check_share(validation)
        if split == "val" and validation == 0:
            raise ValueError("`validation` should be above 0 for the split 'val'. Found `validation = 0`.")
        self.validation = validation
        self.validation_seed = validation_seed
        super().__init__(root, split=split, tasks=tasks, transform=transform)

    @classmethod
    def all_tasks(cls, root: str | Path | None = None, options: Mapping[str, Any] = NO_OPTIONS) -> tuple[Task, ...]:
        """Return segmentation, depth and edges."""
        return SemanticSegmentation(name="seg", classes=NYU_CLASSES), Depth(name="depth"), Edges(name="edge")

    @classmethod
    def sources(cls, root: Path, options: Mapping[str, Any]) -> list[Path]:
        """Return the folders and the lists."""
        return [root / entry for entry in cls.contents]

    def identify(self) -> list[str]:
        """Return the four-digit numbers of the images."""
        if self.split == "test":
            return self._numbers("test.txt")
        numbers = self._numbers("train.txt")
        chosen = held_out(numbers, share=self.validation, seed=self.validation_seed)
        return divide(self.split, numbers, chosen, self.root / "train.txt")

    def _numbers(self, file: str) -> list[str]:
        numbers = read_lines(self.root / file)
        if not numbers:
            raise DatasetError(self.root / file, "lists nothing")
        for number in numbers:
            if not number.isdecimal():
                raise DatasetError(self.root / file, f"should hold numbers of images; it holds {number!r}")
        return numbers

    def file(self, identifier: str, key: str) -> Path:
        """Return the file of an image or target; that of edges is the file of the labels."""
        folder, suffix, _ = LAYOUT[key]
        return self.root / folder / f"{identifier}.{suffix}"

    def read(self, identifier: str, key: str) -> Tensor:
        """Return the image or a target."""
        _, _, reader = LAYOUT[key]
        return reader(self.file(identifier, key))


def read_depth(path: Path) -> Tensor:
    """Return the depth in metres, float32 `[1, H, W]`: the middle of the 3.9 cm that a stored value covers."""
    return ((read_plane(path).float() + 0.5) / 25.5)[None]


def read_edges(path: Path) -> Tensor:
    """Return the borders between the labels of a file, uint8 `[1, H, W]`."""
    return label_borders(read_plane(path))[None]


def label_borders(labels: Tensor) -> Tensor:
    """Draw lines of one pixel between regions of different labels.

    A pixel is on an edge if one of its four neighbours has a greater label. So the line runs along the inner side of
    the region with the smaller label and is one pixel wide in every direction. Mirrored labels give mirrored lines.

    The annotators of NYU left narrow seams between things, one or two pixels wide at this size. They are closed first:
    an unlabelled pixel that touches labelled ones takes the smallest of their labels. Elsewhere missing labels leave it
    unknown whether there is an edge: pixels that were unlabelled, and pixels that touch one (also at a corner), are 255
    (ignored) unless they are on an edge. So the border of an unlabelled region is never an edge, and a thin unlabelled
    thing within one region is never "no edge".

    Args:
        labels: uint8 `[H, W]`, 255 where unlabelled.

    Returns:
        uint8 `[H, W]`, 1 on edges, 0 elsewhere, 255 where unknown.

    Example:
        >>> label_borders(torch.tensor([[3, 3, 7, 7, 7, 255, 255, 255]], dtype=torch.uint8))
        tensor([[  0,   1,   0,   0, 255, 255, 255, 255]], dtype=torch.uint8)
        >>> label_borders(torch.tensor([[3, 3, 3, 255, 7, 7, 7]], dtype=torch.uint8))
        tensor([[  0,   0, 255,   1, 255,   0,   0]], dtype=torch.uint8)
    """
    unknown = labels == UNLABELLED
    # The unlabelled have the greatest code, so the minimum is that of the labelled neighbours.
    smallest_near = -functional.max_pool2d(-labels.float()[None], kernel_size=3, stride=1, padding=1)[0]
    closed = labels.where(~unknown, smallest_near.to(labels.dtype))
    edge = torch.zeros_like(unknown)
    for axis in (0, 1):
        count = labels.shape[axis] - 1
        first, second = closed.narrow(axis, 0, count), closed.narrow(axis, 1, count)
        both = (first != UNLABELLED) & (second != UNLABELLED)
        edge.narrow(axis, 0, count).logical_or_(both & (first < second))
        edge.narrow(axis, 1, count).logical_or_(both & (first > second))
    near_unknown = functional.max_pool2d(unknown.float()[None], kernel_size=3, stride=1, padding=1)[0] > 0
    return edge.to(torch.uint8).masked_fill(near_unknown & ~edge, UNLABELLED)


LAYOUT = {
    "image": ("rgb", "jpg", read_colours),
    "seg": ("label40", "png", read_plane),
    "depth": ("depth", "png", read_depth),
    "edge": ("label40", "png", read_edges),
}
"""Where each part of a sample lies: the folder, the ending of the file, and its reader."""
