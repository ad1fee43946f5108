"""NYU Depth v2 as the public multi-task repositories ship it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise._core.registry import register
from equipoise.data.core.dataset import NO_OPTIONS, Dataset
from equipoise.data.core.sample import DatasetError, Transform
from equipoise.data.core.splits import check_share, divide, held_out
from equipoise.data.storage.decoding import (
    as_plane,
    bright,
    check_codes,
    read_coloured_normals,
    read_matrix,
    read_stored_normals,
    unit_normals,
)
from equipoise.data.storage.files import count_faults, read_colours, read_identifiers, read_numbers, read_plane
from equipoise.tasks import Task
from equipoise.tasks.depth import Depth
from equipoise.tasks.edges import Edges
from equipoise.tasks.semantic_segmentation import SemanticSegmentation
from equipoise.tasks.surface_normals import SurfaceNormals

NYU_CLASSES = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf",
    "picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat",
    "clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel", "shower curtain", "box",
    "whiteboard", "person", "night stand", "toilet", "sink", "lamp", "bathtub", "bag", "other structure",
    "other furniture", "other prop",
)  # fmt: skip
"""Names by class index."""

FARTHEST = 20.0
"""The largest depth in metres that is accepted. The sensor reaches ten; larger numbers have another unit."""


def read_labels(path: Path, stored: NDArray[Any]) -> Tensor:
    """Return class indices, uint8 `[H, W]`, from stored labels that count from 1 and are 0 where unlabelled."""
    check_codes(path, stored, len(NYU_CLASSES))
    # As a byte, 0 - 1 is 255.
    return torch.from_numpy(stored.astype(np.uint8)) - 1


def read_depth(path: Path, stored: NDArray[Any]) -> Tensor:
    """Return depths, float32 `[1, H, W]`."""
    depth = as_plane(path, stored)
    if depth.dtype.kind != "f":
        raise DatasetError(path, f"should hold metres as real numbers; it holds {depth.dtype}")
    # No comparison holds for a NaN, so the condition is negated as a whole.
    wrong = depth[~((depth >= 0) & (depth <= FARTHEST))]
    if wrong.size:
        raise DatasetError(
            path, f"should hold metres from 0 to {FARTHEST:g}; it holds {wrong[0]:g} and {wrong.size - 1} more"
        )
    return torch.from_numpy(depth.astype(np.float32))[None]


def read_drawn_edges(path: Path) -> Tensor:
    """Return edges drawn in white on black, uint8 `[1, H, W]` of 0 and 1; grey is rounded to the nearer one."""
    plane = read_plane(path)
    if plane.max() == 1:
        raise DatasetError(path, "should hold brightness up to 255; it holds 0 and 1 alone")
    return bright(plane)


def read_stored_edges(path: Path) -> Tensor:
    """Return edges stored as 0 and 1, uint8 `[1, H, W]`; numbers between are rounded."""
    edges = as_plane(path, read_numbers(path))
    if not ((edges >= 0) & (edges <= 1)).all():
        raise DatasetError(path, f"should hold numbers from 0 to 1; it holds {edges.min():g} to {edges.max():g}")
    return torch.from_numpy((edges >= 0.5).astype(np.uint8))[None]


LAYOUT: dict[str, tuple[str, dict[str, Callable[[Path], Tensor]]]] = {
    "image": ("images", {"jpg": read_colours, "png": read_colours}),
    "seg": (
        "segmentation",
        {
            "png": lambda path: read_labels(path, read_plane(path).numpy()),
            "mat": lambda path: read_labels(path, read_matrix(path, "segmentation")),
        },
    ),
    "depth": (
        "depth",
        {
            "npy": lambda path: read_depth(path, read_numbers(path)),
            "mat": lambda path: read_depth(path, read_matrix(path, "depth")),
        },
    ),
    "normals": (
        "normals",
        {"npy": read_stored_normals, "png": read_coloured_normals, "jpg": read_coloured_normals},
    ),
    "edge": ("edge", {"png": read_drawn_edges, "npy": read_stored_edges}),
}
"""Where each part of a sample lies: the folder, and the readers of its files by their ending."""


@register("nyud")
class Nyud(Dataset):
    """The 1,449 labelled images of NYU Depth v2 (Silberman et al., ECCV 2012) with four kinds of dense labels.

    On disk: the folders `images`, `segmentation`, `depth`, `normals` and `edge` with one file for each number, and the
    lists `gt_sets/train.txt` (795) and `gt_sets/val.txt` (654) with one number a line. Three generations of archives
    share these names but not the formats:

    | folder         | ASTMT, 2019 (NYUD_MT) | MTI-Net, since 2020 (NYUD_MT) | ATRC, InvPT (NYUDv2) |
    |----------------|-----------------------|-------------------------------|----------------------|
    | `images`       | .jpg                  | .jpg                          | .png                 |
    | `segmentation` | .mat, `segmentation`  | .png                          | .png                 |
    | `depth`        | .mat, `depth`         | .npy                          | .npy                 |
    | `normals`      | .jpg, 2 v / 255 - 1   | .npy, -1 to 1                 | .png, 2 v / 255 - 1  |
    | `edge`         | .png, 0 and 255       | .npy, 0 and 1                 | .png, 0 and 255      |
    | size           | 425x560               | 480x640                       | 425x560              |

    Each folder is read by the ending of its files, so any of the three works without an option. Scores on different
    generations cannot be compared. Only the folders of the chosen tasks are needed.

    Tasks: `seg`, stored as 0 (unlabelled) and 1 to 40, here 255 and 0 to 39 (ASTMT trained on 41 classes with 0);
    `depth` in metres, 0 in holes; `normals`; `edge`, lines of one pixel, which cannot be made from the labels.

    Stored normals are scaled to unit length. Files of 8 bits have no code for "unknown": grey pixels decode to vectors
    close to zero. Public code takes them for directions, in training and in scores. Here vectors no longer than
    `shortest_normal` are unknown; 0 gives the public behaviour. The archives do not state the frame of their normals,
    only that the first channel is x. Over a dataset, the mean of the stored normals should have y < 0 (more floor than
    ceiling) and z < 0 (towards the camera). `normal_channels` converts other frames.

    The official split has no validation part. `"test"` is the official test set, which the archives call val. `"val"`
    is held out of train in whole scenes. The numbers follow the order of recording, so a run of consecutive training
    numbers is one scene or several whole ones. Neighbouring images of a scene are near-copies: a network would know
    single held-out images from training. See `equipoise.data.core.splits.held_out`.

    Args:
        root: The directory.
        split: `"train"`, `"val"` or `"test"`.
        tasks: See `Dataset`.
        transform: See `Dataset`.
        validation: The share of the training images to hold out, in [0, 1). With 0 all 795 are for training, which is
            the protocol of the papers, and `"val"` is empty.
        validation_seed: The seed that chooses the held-out scenes.
        shortest_normal: Normals of this length or shorter are unknown, in [0, 1).
        normal_channels: The axes that the three channels of the stored normals hold: x (right), y (down), z (forward),
            in any order, with `-` in front of an axis whose sign is opposite.

    Raises:
        ValueError: An option is out of its range.
        DatasetError: The directory is missing or lacks a part of the dataset, a list names an image twice, or a folder
            holds the files of two generations.
    """

    as_published: ClassVar[Mapping[str, Any]] = {"validation": 0.0}
    source = (
        "the data sections of https://github.com/prismformore/Multi-Task-Transformer (NYUDv2.tar.gz) or "
        "https://github.com/SimonVandenhende/Multi-Task-Learning-PyTorch (NYUD_MT.tgz)"
    )
    contents = ("images", "gt_sets/train.txt", "gt_sets/val.txt")

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        split: str = "train",
        tasks: Iterable[str] | None = None,
        transform: Transform | None = None,
        validation: float = 0.1,
        validation_seed: int = 0,
        shortest_normal: float = 0.5,
        normal_channels: tuple[str, str, str] = ("x", "y", "z"),
    ) -> None:
        check_share(validation)
        if not 0 <= shortest_normal < 1:
            raise ValueError(f"`shortest_normal` should be in [0, 1). Found `shortest_normal = {shortest_normal}`.")
        if sorted(channel.removeprefix("-") for channel in normal_channels) != ["x", "y", "z"]:
            raise ValueError(
                "`normal_channels` should be x, y and z in any order, each with or without a minus. "
                f"Found `normal_channels = {normal_channels}`."
            )
        self.validation = validation
        self.validation_seed = validation_seed
        self.shortest_normal = shortest_normal
        self.normal_channels = normal_channels
        self._endings: dict[str, str] = {}
        super().__init__(root, split=split, tasks=tasks, transform=transform)

    @classmethod
    def all_tasks(cls, root: str | Path | None = None, options: Mapping[str, Any] = NO_OPTIONS) -> tuple[Task, ...]:
        """Return segmentation, depth, normals and edges."""
        return (
            SemanticSegmentation(name="seg", classes=NYU_CLASSES),
            Depth(name="depth"),
            SurfaceNormals(name="normals"),
            Edges(name="edge", max_distance=0.011),
        )

    @classmethod
    def sources(cls, root: Path, options: Mapping[str, Any]) -> list[Path]:
        """Return the folders of images and labels, and that of the lists."""
        return [root / "gt_sets", *(root / folder for folder, _ in LAYOUT.values())]

    @property
    def _list(self) -> Path:
        return self.root / "gt_sets" / ("val.txt" if self.split == "test" else "train.txt")

    def identify(self) -> list[str]:
        """Return the four-digit numbers of the images."""
        numbers = read_identifiers(self._list)
        self._endings = {key: self._ending(key) for key in ("image", *self.active_tasks)}
        if self.split == "test":
            return numbers
        chosen = held_out(numbers, share=self.validation, seed=self.validation_seed)
        return divide(self.split, numbers, chosen, self._list)

    def _ending(self, key: str) -> str:
        """Return the ending of most files of a folder. A few may be left of another generation."""
        folder, readers = LAYOUT[key]
        path = self.root / folder
        if not path.is_dir():
            raise DatasetError(path, f"is missing, {key!r} of {self.name!r} needs it. Get it from {self.source}.")
        files = Counter(file.suffix.removeprefix(".") for file in path.iterdir())
        first, second = sorted(readers, key=lambda ending: -files[ending])[:2]
        if not files[first]:
            raise DatasetError(path, f"holds no file {' or '.join(f'.{ending}' for ending in readers)}")
        if files[first] == files[second]:
            what = f"holds as many files .{first} as .{second}, of two generations of the dataset; remove one of them"
            raise DatasetError(path, what)
        return first

    def faults(self) -> list[DatasetError]:
        """Return an error if a list is shorter or longer than the official one."""
        listed = len(read_identifiers(self._list))
        return count_faults(self._list, listed, 654 if self.split == "test" else 795, self.source)

    def file(self, identifier: str, key: str) -> Path:
        """Return the file of an image or target."""
        return self.root / LAYOUT[key][0] / f"{identifier}.{self._endings[key]}"

    def read(self, identifier: str, key: str) -> Tensor:
        """Return the image or a target."""
        path = self.file(identifier, key)
        stored = LAYOUT[key][1][self._endings[key]](path)
        return self._directions(stored) if key == "normals" else stored

    def _directions(self, stored: Tensor) -> Tensor:
        channels = [channel.removeprefix("-") for channel in self.normal_channels]
        signs = stored.new_tensor([-1.0 if channel.startswith("-") else 1.0 for channel in self.normal_channels])
        order = [channels.index(axis) for axis in "xyz"]
        return unit_normals((stored * signs[:, None, None])[order], self.shortest_normal)
