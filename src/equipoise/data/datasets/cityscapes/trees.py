"""The two layouts of Cityscapes on disk: as downloaded, and as the code of Gama & Grassi (2025) reduces it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from equipoise.data.core.sample import IMAGENET_MEAN, IMAGENET_STD, DatasetError, EmptySplitError
from equipoise.data.storage.files import image_size, read_colours, read_lines, read_numbers, read_plane, read_wide_plane

CLASSES = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
"""The 19 evaluated classes in the order of their training indices: number in a file, name, colour."""

CATEGORIES = (
    ("flat", range(0, 2)),
    ("construction", range(2, 5)),
    ("object", range(5, 8)),
    ("nature", range(8, 10)),
    ("sky", range(10, 11)),
    ("human", range(11, 13)),
    ("vehicle", range(13, 19)),
)
"""The 7 categories and the classes of each, as in Gama & Grassi.

Parking, tunnels, caravans and others officially belong to a category but are no evaluated class; they stay unlabelled.
"""

THINGS = tuple(number for number, _, _ in CLASSES if number >= 24)
"""The numbers of the eight classes whose instances are told apart: people and vehicles."""

LARGEST_NUMBER = 33
"""The largest number of a class in a file."""

FULL_WIDTH = 2048
"""The width of the images in pixels, in which disparities are measured."""

UNLABELLED = 255


class CityscapesTree(ABC):
    """Finds and decodes the files of one layout, at the size that they have."""

    @abstractmethod
    def identify(self, split: str) -> list[str]:
        """Return the names of the samples of `"train"`, `"val"` or `"test"` in the split of Gama & Grassi."""

    @abstractmethod
    def sources(self) -> list[Path]:
        """Return the files and directories that samples of all splits are read from."""

    @abstractmethod
    def file(self, identifier: str, key: str) -> Path:
        """Return the file of an image or target."""

    @abstractmethod
    def size(self, path: Path) -> tuple[int, int]:
        """Return height and width of an image."""

    @abstractmethod
    def image(self, path: Path) -> Tensor:
        """Return an image, uint8 `[3, H, W]`."""

    @abstractmethod
    def classes(self, path: Path) -> Tensor:
        """Return the index of each pixel's class among the 19, uint8 `[H, W]`; 255 for all other classes."""

    @abstractmethod
    def instances(self, path: Path) -> Tensor:
        """Return 1000 times the number of the class plus that of the instance, or the former alone, int32 `[H, W]`.

        A class number alone means that the class has no instances, or that the pixel shows an undivided group.
        """

    @abstractmethod
    def disparity(self, path: Path) -> Tensor:
        """Return the disparity in pixels of the full width, float32 `[H, W]`, 0 where unknown."""


PLACES = ("{name}", "{name}_trainvaltest/{name}", "city_ori/{name}", "city_ori/{name}_trainvaltest/{name}")
"""Places of a directory of the official tree: all archives unpacked together, or each on its own."""

FILES = {
    "image": ("leftImg8bit", "leftImg8bit.png"),
    "seg": ("gtFine", "gtFine_labelIds.png"),
    "instance": ("gtFine", "gtFine_instanceIds.png"),
    "disparity": ("disparity", "disparity.png"),
}
"""Directory and end of the name of each part of a sample in the official tree."""


@dataclass(frozen=True)
class OfficialTree(CityscapesTree):
    """`leftImg8bit`, `gtFine` and `disparity`, each `SPLIT/CITY/CITY_SSSSSS_FFFFFF_*.png`.

    Attributes:
        directories: Where each of the three is.
    """

    directories: Mapping[str, Path]

    @classmethod
    def at(cls, root: Path) -> Self:
        """Find the three directories in `PLACES`. A missing one is assumed to be in the first place."""
        found = {}
        for name in ("leftImg8bit", "gtFine", "disparity"):
            places = [root / place.format(name=name) for place in PLACES]
            found[name] = next((place for place in places if place.is_dir()), places[0])
        return cls(found)

    def all_of(self, official_split: str) -> list[str]:
        """Return the names of all samples of an official split, including those that lack a file."""
        found = set()
        for key in ("image", "seg"):
            folder, ending = FILES[key]
            for path in (self.directories[folder] / official_split).glob(f"*/*_{ending}"):
                found.add(f"{official_split}/{path.parent.name}/{path.name.removesuffix(f'_{ending}')}")
        return sorted(found)

    def identify(self, split: str) -> list[str]:
        """Divide the official training images 4 : 1, as Gama & Grassi do.

        The official validation images are for testing.
        All 2,975 images give exactly their 2,380 and 595, since numpy's `RandomState(0)` never changes.
        """
        if split == "test":
            return self.all_of("val")
        names = self.all_of("train")
        if not names:
            return []
        train = set(np.random.RandomState(0).choice(len(names), max(1, int(0.8 * len(names))), replace=False).tolist())
        part = [name for number, name in enumerate(names) if (number in train) == (split == "train")]
        if not part:
            raise EmptySplitError(self.directories["leftImg8bit"] / "train", f"leaves none of its images to {split!r}")
        return part

    def sources(self) -> list[Path]:
        """Return all images and labels of the two official splits that are used."""
        return [
            path
            for folder, ending in FILES.values()
            for split in ("train", "val")
            for path in (self.directories[folder] / split).glob(f"*/*_{ending}")
        ]

    def file(self, identifier: str, key: str) -> Path:
        """Return the file of an image or target."""
        folder, ending = FILES[key]
        return self.directories[folder] / f"{identifier}_{ending}"

    def size(self, path: Path) -> tuple[int, int]:
        """Return height and width of an image."""
        return image_size(path)

    def image(self, path: Path) -> Tensor:
        """Return an image; see `CityscapesTree` for this and the following methods."""
        return read_colours(path)

    def classes(self, path: Path) -> Tensor:
        """Return the classes, whose numbers are stored in 8 bits."""
        stored = read_plane(path)
        # Some versions write 255 for licence plates, whose official number is -1.
        _check_numbers(path, stored[stored != UNLABELLED])
        table = torch.full((256,), UNLABELLED, dtype=torch.uint8)
        for index, (number, _, _) in enumerate(CLASSES):
            table[number] = index
        return table[stored.long()]

    def instances(self, path: Path) -> Tensor:
        """Return the instances, which are stored in the same form in 16 bits."""
        stored = read_wide_plane(path)
        _check_numbers(path, torch.where(stored < 1000, stored, stored // 1000))
        return stored

    def disparity(self, path: Path) -> Tensor:
        """Return the disparity d, stored as 256 d + 1 in 16 bits, 0 where unknown."""
        return (read_wide_plane(path).float() - 1).clamp(min=0) / 256


@dataclass(frozen=True)
class PreprocessedTree(CityscapesTree):
    """The `city_preprocess_W_H` of Gama & Grassi: `{image,semantic,instance,disparity}/SPLIT/N.npy`.

    Images are normalised float16 `[3, H, W]`, which still give the 8 bits exactly. Classes are int16, -1 where there is
    none. Instances are int16, so the numbers of bicycles have wrapped around. Disparities are float32 in pixels of the
    small image.

    Attributes:
        root: The directory.
    """

    root: Path

    def identify(self, split: str) -> list[str]:
        """Return `<split>/<number>`."""
        found = {path.stem for folder in ("image", "semantic") for path in (self.root / folder / split).glob("*.npy")}
        return [f"{split}/{number}" for number in sorted(filter(str.isdecimal, found), key=int)]

    def faults(self, split: str) -> list[DatasetError]:
        """Return an error if the list of official names, one a line, has another length than the split."""
        path = self.root / f"{split}.txt"
        listed, found = len(read_lines(path)) if path.exists() else None, len(self.identify(split))
        return [] if listed in (None, found) else [DatasetError(path, f"lists {listed} images; there are {found}")]

    def sources(self) -> list[Path]:
        """Return the four folders and the lists."""
        return [
            *(self.root / folder for folder in ("image", "semantic", "instance", "disparity")),
            *self.root.glob("*.txt"),
        ]

    def file(self, identifier: str, key: str) -> Path:
        """Return the file of an image or target."""
        return self.root / {"seg": "semantic"}.get(key, key) / f"{identifier}.npy"

    def size(self, path: Path) -> tuple[int, int]:
        """Return height and width of an image."""
        _, height, width = self._planes(path, 3).shape
        return height, width

    def image(self, path: Path) -> Tensor:
        """Return an image with its normalisation undone."""
        stored = self._planes(path, 3).float()
        if not stored.isfinite().all():
            raise DatasetError(path, "should hold finite numbers; some are not")
        mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
        return ((stored * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)

    def classes(self, path: Path) -> Tensor:
        """Return the classes, with 255 for the stored -1."""
        stored = self._whole(path).long()
        if ((stored < -1) | (stored >= len(CLASSES))).any():
            raise DatasetError(path, f"should hold classes from -1 to 18; it holds {_extremes(stored)}")
        return stored.where(stored >= 0, UNLABELLED).to(torch.uint8)

    def instances(self, path: Path) -> Tensor:
        """Return the instances, with their wrapped numbers restored."""
        stored = self._whole(path).int() % 65536
        _check_numbers(path, torch.where(stored < 1000, stored, stored // 1000))
        return stored

    def disparity(self, path: Path) -> Tensor:
        """Return the disparity, scaled back to the full width."""
        stored = self._planes(path, 1)[0].float()
        return stored * (FULL_WIDTH / stored.shape[-1])

    def _whole(self, path: Path) -> Tensor:
        stored = self._planes(path, 1)[0]
        if (stored != stored.round()).any():
            raise DatasetError(path, "should hold whole numbers; it holds others")
        return stored

    def _planes(self, path: Path, count: int) -> Tensor:
        stored = read_numbers(path)
        planes = stored[None] if stored.ndim == 2 else stored
        if planes.ndim != 3 or planes.shape[0] != count:
            raise DatasetError(path, f"should have the shape ({count}, height, width); it has {stored.shape}")
        return torch.from_numpy(planes)


def find_tree(root: Path, source: str) -> CityscapesTree:
    """Return the tree of a directory, in the layout that it has.

    Raises:
        DatasetError: It has neither.
    """
    official = OfficialTree.at(root)
    if official.directories["leftImg8bit"].is_dir():
        return official
    if (root / "image").is_dir() and (root / "semantic").is_dir():
        return PreprocessedTree(root)
    raise DatasetError(root, f"holds neither `leftImg8bit` nor `image` and `semantic`. Get it from {source}")


def _check_numbers(path: Path, numbers: Tensor) -> None:
    wrong = numbers[(numbers < 0) | (numbers > LARGEST_NUMBER)].unique().tolist()
    if wrong:
        raise DatasetError(path, f"should hold classes from 0 to {LARGEST_NUMBER}; it holds {wrong[:5]}")


def _extremes(stored: Tensor) -> str:
    return f"{stored.min().item()} to {stored.max().item()}"
