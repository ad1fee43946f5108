"""PASCAL-Context as the public multi-task repositories ship it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise._core.registry import register
from equipoise.data.core.dataset import NO_OPTIONS, Dataset
from equipoise.data.core.sample import DatasetError, Transform
from equipoise.data.core.splits import check_share, divide, held_out_singles
from equipoise.data.datasets.pascal_context.labels import (
    CONTEXT_CLASSES,
    INDOOR_CONTEXT_CLASSES,
    PART_CLASSES,
    VOC_CLASSES,
    borders,
    laplacian_borders,
    read_parts,
    thinned,
)
from equipoise.data.storage.decoding import bright, check_codes, read_coloured_normals, read_matrix, unit_normals
from equipoise.data.storage.files import count_faults, read_colours, read_identifiers, read_plane
from equipoise.tasks import Task
from equipoise.tasks.edges import Edges
from equipoise.tasks.saliency import Saliency
from equipoise.tasks.semantic_segmentation import Parts, SemanticSegmentation
from equipoise.tasks.surface_normals import SurfaceNormals

VOID = 255
"""The unlabelled code, both in the files of classes and here."""


@register("pascal_context")
class PascalContext(Dataset):
    """The 10,103 images of PASCAL-Context (Mottaghi et al., CVPR 2014) with five kinds of dense labels.

    On disk, with names like 2008_000002 in `ImageSets/Context/train.txt` (4,998) and `val.txt` (5,105):

    - `JPEGImages/ID.jpg`, of all sizes up to 500 pixels a side. All labels must have the size of their image. (Some
      public loaders resample labels of another size.)
    - `semseg/VOC12/ID.png`, or if there is none `semseg/pascal-context/ID.png`: class 0 to 20 or 255, as indices into a
      palette or as grey values. These are the classes of VOC, not the 59 of PASCAL-Context.
    - `human_parts/ID.mat`: the annotation of PASCAL-Part, see `read_parts`. (`ImageSets/Parts`, a cache that some
      loaders write and others use even when it is outdated, is not read.)
    - `sal_distill/ID.png`: the saliency that a network predicted; 128 and above is salient.
    - `normals_distill/ID.png`: the normals that a network trained on indoor scenes predicted, n = 2 v / 255 - 1. They
      are known on pixels whose context class (`pascal-context/trainval/ID.mat`) is one of 170 that occur indoors.
    - `pascal-context/trainval/ID.mat`: the context class of every pixel, 1 to 459, as `LabelMap`.

    Tasks: `seg` (21 classes); `parts` (6 and background; an image, or a part of it, without a known part counts as
    unlabelled); `saliency`; `normals` (x right, y down; scaled to unit length, which public code omits); `edge`, the
    borders between context classes, thinned to lines of one pixel.

    `"test"` is the official val. `"val"` is held out of train, image by image, since photographs of different people
    are independent. A hash gives the order, so the same images are held out on every machine. Public code that trains
    on parts alone leaves out images without people; here they are samples without labels.

    Args:
        root: The directory.
        split: `"train"`, `"val"` or `"test"`.
        tasks: See `Dataset`.
        transform: See `Dataset`.
        validation: The share of the training images to hold out, in [0, 1). With 0 all 4,998 are for training, which
            is the protocol of the papers, and `"val"` is empty.
        validation_seed: The seed that chooses the held-out images.
        edge_rule: `"borders"` marks every pixel with a neighbour (of four) of another class. `"laplacian"` is the rule
            of public loaders, which misses some borders, see `laplacian_borders`.

    Raises:
        ValueError: An option is out of its range.
        DatasetError: The directory is missing or lacks a part of the dataset, or a list names an image twice.
    """

    as_published: ClassVar[Mapping[str, Any]] = {"validation": 0.0}
    source = (
        "the data sections of https://github.com/prismformore/Multi-Task-Transformer (PASCALContext.tar.gz) or "
        "https://github.com/facebookresearch/astmt (PASCAL_MT.tgz)"
    )
    contents = ("JPEGImages", "ImageSets/Context/train.txt", "ImageSets/Context/val.txt")

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        split: str = "train",
        tasks: Iterable[str] | None = None,
        transform: Transform | None = None,
        validation: float = 0.1,
        validation_seed: int = 0,
        edge_rule: Literal["borders", "laplacian"] = "borders",
    ) -> None:
        check_share(validation)
        if edge_rule not in EDGE_RULES:
            raise ValueError(
                f"`edge_rule` should be one of {', '.join(EDGE_RULES)}. Found `edge_rule = {edge_rule!r}`."
            )
        self.validation = validation
        self.validation_seed = validation_seed
        self.edge_rule = edge_rule
        super().__init__(root, split=split, tasks=tasks, transform=transform)

    @classmethod
    def all_tasks(cls, root: str | Path | None = None, options: Mapping[str, Any] = NO_OPTIONS) -> tuple[Task, ...]:
        """Return segmentation, parts of people, saliency, normals and edges."""
        return (
            SemanticSegmentation(name="seg", classes=VOC_CLASSES),
            Parts(name="parts", classes=PART_CLASSES),
            Saliency(name="saliency"),
            SurfaceNormals(name="normals"),
            Edges(name="edge", max_distance=0.0075),
        )

    @classmethod
    def sources(cls, root: Path, options: Mapping[str, Any]) -> list[Path]:
        """Return the folders of images and labels, and that of the lists."""
        folders = {folder for needed in FOLDERS.values() for folder in needed}
        return [root / folder for folder in ("JPEGImages", "ImageSets/Context", *folders)]

    @property
    def _list(self) -> Path:
        return self.root / "ImageSets" / "Context" / ("val.txt" if self.split == "test" else "train.txt")

    def identify(self) -> list[str]:
        """Return the names of the images."""
        for task in self.active_tasks:
            for folder in (self.root / name for name in FOLDERS[task]):
                if not folder.is_dir():
                    what = f"is missing, {task!r} of {self.name!r} needs it. Get it from {self.source}."
                    raise DatasetError(folder, what)
        names = read_identifiers(self._list)
        if self.split == "test":
            return names
        chosen = held_out_singles(names, share=self.validation, seed=self.validation_seed)
        return divide(self.split, names, chosen, self._list)

    def faults(self) -> list[DatasetError]:
        """Return an error if a list is shorter or longer than the official one."""
        listed = len(read_identifiers(self._list))
        return count_faults(self._list, listed, 5105 if self.split == "test" else 4998, self.source)

    def file(self, identifier: str, key: str) -> Path:
        """Return the file of an image or target; of the two places of the classes, the one that exists."""
        folder, ending = FILES[key]
        path = self.root / folder / f"{identifier}.{ending}"
        if key == "seg" and not path.exists():
            other = self.root / "semseg" / "pascal-context" / path.name
            return other if other.exists() else path
        return path

    def read(self, identifier: str, key: str) -> Tensor:
        """Return the image or a target."""
        path = self.file(identifier, key)
        if key == "parts":
            parts = read_parts(path)
            return self._unlabelled(identifier) if parts is None else torch.from_numpy(parts)
        if key == "normals":
            return read_normals(path, read_context_classes(self.file(identifier, "edge")))
        if key == "edge":
            edges = EDGE_RULES[self.edge_rule](read_context_classes(path))
            return torch.from_numpy(thinned(edges).astype(np.uint8))[None]
        return READERS[key](path)

    def _unlabelled(self, identifier: str) -> Tensor:
        return torch.full(self.read(identifier, "image").shape[-2:], VOID, dtype=torch.uint8)


def read_classes(path: Path) -> Tensor:
    """Return class indices, uint8 `[H, W]`."""
    plane = read_plane(path)
    check_codes(path, plane.numpy(), len(VOC_CLASSES) - 1, VOID)
    return plane


def read_saliency(path: Path) -> Tensor:
    """Return saliency, uint8 `[1, H, W]`: 1 where a pixel is salient, else 0."""
    return bright(read_plane(path))


def read_context_classes(path: Path) -> NDArray[np.int64]:
    """Return the context class of every pixel, `[H, W]`."""
    classes = read_matrix(path, "LabelMap")
    check_codes(path, classes, CONTEXT_CLASSES)
    return classes.astype(np.int64)


def read_normals(path: Path, context_classes: NDArray[np.int64]) -> Tensor:
    """Return unit vectors, float32 `[3, H, W]`, zero where the context class does not occur indoors."""
    stored = read_coloured_normals(path)
    if stored.shape[-2:] != context_classes.shape:
        found = tuple(stored.shape[-2:])
        raise DatasetError(
            path, f"should have the size of its context classes, {context_classes.shape}; it has {found}"
        )
    is_indoor = np.zeros(CONTEXT_CLASSES + 1, dtype=bool)
    is_indoor[list(INDOOR_CONTEXT_CLASSES)] = True
    known = torch.from_numpy(is_indoor[context_classes])
    return unit_normals(stored, shortest=0).where(known, 0)


FILES = {
    "image": ("JPEGImages", "jpg"),
    "seg": ("semseg/VOC12", "png"),
    "parts": ("human_parts", "mat"),
    "saliency": ("sal_distill", "png"),
    "normals": ("normals_distill", "png"),
    "edge": ("pascal-context/trainval", "mat"),
}
"""Where each part of a sample lies: the folder and the ending of the file."""

FOLDERS = {
    "seg": ("semseg",),
    "parts": ("human_parts",),
    "saliency": ("sal_distill",),
    "normals": ("normals_distill", "pascal-context/trainval"),
    "edge": ("pascal-context/trainval",),
}
"""The folders that each task needs."""

READERS = {"image": read_colours, "seg": read_classes, "saliency": read_saliency}
"""Readers of the parts of a sample that need a single file."""

EDGE_RULES = {"borders": borders, "laplacian": laplacian_borders}
"""Rules for what is an edge, before it is thinned."""
