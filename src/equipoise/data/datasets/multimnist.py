"""Multi-MNIST: two overlapping digits in one image."""

import gzip
import math
import random
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.data.core.dataset import NO_OPTIONS, Dataset
from equipoise.data.core.sample import DatasetError, Transform
from equipoise.data.storage.files import read_lines
from equipoise.tasks import Task
from equipoise.tasks.classification import Classification
from equipoise.tasks.reconstruction import Reconstruction

UNSIGNED_BYTES = 0x08
"""The code of the type in IDX files."""

SIDE, CANVAS, START = 28, 36, 6
"""In pixels: the side of a digit and of the canvas, and the row and column where the right digit starts."""

MEAN, STD = (0.1307,), (0.3081,)
"""Mean and standard deviation of the pixels of MNIST, as commonly used."""

KEPT = [int((row + 0.5) * CANVAS / SIDE) for row in range(SIDE)]
"""The rows (and columns) of the canvas that are left when it shrinks: those nearest to the new pixel centres."""

SUFFIXES = ("", ".gz")
FOLDERS = ("", "raw", "MNIST/raw", "FashionMNIST/raw")
"""Endings and places of the files."""


@register("multimnist")
class MultiMnist(Dataset):
    """Two digits of MNIST on one image, as in Gama & Grassi (2025).

    The left digit lies in the upper left corner of a canvas of 36x36 pixels, the right one six pixels further down and
    right. Where they overlap, the brighter pixel counts. The canvas shrinks to 28x28 by taking nearest pixels. Every
    item of a split is the left digit once; its right partner is another item of the same split.

    Tasks: `CL` and `CR`, the class of the left and the right digit; `RL` and `RR`, the single digits, to be
    reconstructed at 28x28, normalised like the input (mean 0.1307, standard deviation 0.3081).

    On disk: the four IDX files of MNIST or Fashion-MNIST under their original names, compressed (`.gz`) or not, in
    `ROOT` or `ROOT/raw` (where torchvision puts them, also with its own folder in between). The first five sixths of
    the training files are `train` (50,000), the rest is `val` (10,000), and the test files are `test`.

    Right partners are read from `ROOT/processed/{train,val,test}_right_idx.txt` if these lists exist. A list has one
    line for each item, with the partner's position in the file of images, counted from 0. Further lines do not count
    (in the repository of Gama & Grassi the list of `val` has 60,000). Without lists partners are drawn: partner k of a
    split of n items from position s on is s + int(r * n) with the k-th r of Python's
    `random.Random(f"{seed} {split}").random()`.

    Args:
        root: The directory.
        split: `"train"`, `"val"` or `"test"`.
        tasks: See `Dataset`.
        transform: See `Dataset`.
        seed: The seed that draws the right partners if there are no lists.
        only_test_files: Make all splits from the 10,000 test images (eight, one and one tenth of them), in case the
            training files are missing. Results cannot be compared with published ones.

    Raises:
        DatasetError: A file is missing or damaged, or a list names an unknown partner.
    """

    source = (
        "`torchvision.datasets.MNIST(root, download=True)`, or Debian's package dataset-fashion-mnist "
        "(train-images-idx3-ubyte, train-labels-idx1-ubyte and the same of t10k, as they are or as .gz)"
    )
    statistics: ClassVar = (MEAN, STD)
    augmentable = False
    decodes = False

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        split: str = "train",
        tasks: Iterable[str] | None = None,
        transform: Transform | None = None,
        seed: int = 0,
        only_test_files: bool = False,
    ) -> None:
        self.seed = seed
        self.only_test_files = only_test_files
        super().__init__(root, split=split, tasks=tasks, transform=transform)

    @classmethod
    def all_tasks(cls, root: str | Path | None = None, options: Mapping[str, Any] = NO_OPTIONS) -> tuple[Task, ...]:
        """Return the classification of both digits and the reconstruction of both."""
        digits = tuple(str(digit) for digit in range(10))
        return (
            Classification(name="CL", classes=digits),
            Classification(name="CR", classes=digits),
            Reconstruction(name="RL", mean=MEAN, std=STD),
            Reconstruction(name="RR", mean=MEAN, std=STD),
        )

    @classmethod
    def sources(cls, root: Path, options: Mapping[str, Any]) -> list[Path]:
        """Return the IDX files and the lists of partners."""
        if options.get("only_test_files"):
            return cls._find_pair(root, "t10k")
        lists = [root / "processed" / f"{split}_right_idx.txt" for split in cls.splits]
        return [*cls._find_pair(root, "train"), *cls._find_pair(root, "t10k"), *lists]

    def identify(self) -> list[str]:
        """Return the file and the position in it of every left digit."""
        part = "t10k" if self.only_test_files or self.split == "test" else "train"
        self.image_file, self.label_file = self._find_pair(self.root, part)
        self.images, self.labels = read_idx(self.image_file), read_idx(self.label_file)
        if self.images.ndim != 3 or self.images.shape[1:] != (SIDE, SIDE):
            raise DatasetError(
                self.image_file, f"should hold images of {SIDE}x{SIDE}; it has the shape {tuple(self.images.shape)}"
            )
        if self.labels.shape != self.images.shape[:1]:
            raise DatasetError(
                self.label_file,
                f"should hold a label for each of {len(self.images)} images; it has the shape "
                f"{tuple(self.labels.shape)}",
            )
        self.positions = self._positions(len(self.images))
        self.partners = self._partners()
        # All at once takes a second. One by one it would take most of the time of loading.
        left = self.images[self.positions.start : self.positions.stop]
        self.overlapped = overlapped(left, self.images[self.partners])
        return [f"{part}-{position:05d}" for position in self.positions]

    @classmethod
    def _find_pair(cls, root: Path, part: str) -> list[Path]:
        """Return the file of the images and that of the labels."""
        return [cls._find(root, f"{part}-{name}") for name in ("images-idx3-ubyte", "labels-idx1-ubyte")]

    @classmethod
    def _find(cls, root: Path, name: str) -> Path:
        paths = [root / folder / f"{name}{suffix}" for folder in FOLDERS for suffix in SUFFIXES]
        found = next((path for path in paths if path.is_file()), None)
        if found is None:
            raise DatasetError(root / name, f"is missing, also as .gz and in `raw`. Get it from {cls.source}.")
        return found

    def _positions(self, count: int) -> range:
        if self.only_test_files:
            tenth = count // 10
            val, test = count - 2 * tenth, count - tenth
            return {"train": range(val), "val": range(val, test), "test": range(test, count)}[self.split]
        val = count - count // 6
        return {"train": range(val), "val": range(val, count), "test": range(count)}[self.split]

    def _partners(self) -> list[int]:
        path = self.root / "processed" / f"{self.split}_right_idx.txt"
        if self.only_test_files or not path.is_file():
            draw = random.Random(f"{self.seed} {self.split}").random
            return [self.positions.start + int(draw() * len(self.positions)) for _ in self.positions]
        lines = read_lines(path)[: len(self.positions)]
        if len(lines) < len(self.positions):
            raise DatasetError(path, f"should have {len(self.positions)} lines; it has {len(lines)}")
        allowed = {str(position) for position in self.positions}
        wrong = next((line for line in lines if line not in allowed), None)
        if wrong is not None:
            raise DatasetError(
                path,
                f"should hold positions from {self.positions.start} to {self.positions.stop - 1}; it holds {wrong!r}",
            )
        return [int(line) for line in lines]

    def file(self, identifier: str, key: str) -> Path:
        """Return the file of the images or of the labels."""
        return self.label_file if key.startswith("C") else self.image_file

    def read(self, identifier: str, key: str) -> Tensor:
        """Return the image, uint8 `[1, 28, 28]`, or a target."""
        left = int(identifier.rpartition("-")[2])
        right = self.partners[left - self.positions.start]
        if key == self.input:
            return self.overlapped[left - self.positions.start, None]
        kind, side = key
        position = left if side == "L" else right
        if kind == "C":
            return self.labels[position]
        task = self.active_tasks[key]
        assert isinstance(task, Reconstruction)
        return task.normalise(self.images[position][None].float() / 255)


def overlapped(left: Tensor, right: Tensor) -> Tensor:
    """Return the images of pairs of digits, uint8 `[..., 28, 28]` each, see `MultiMnist`.

    Example:
        >>> left, right = (torch.zeros(28, 28, dtype=torch.uint8) for _ in range(2))
        >>> left[3, 4], right[3, 4] = 7, 9
        >>> overlapped(left, right).nonzero().tolist()
        [[2, 3], [7, 8]]
    """
    canvas = left.new_zeros(*left.shape[:-2], CANVAS, CANVAS)
    canvas[..., :SIDE, :SIDE] = left
    window = canvas[..., START : START + SIDE, START : START + SIDE]
    torch.maximum(window, right, out=window)
    return canvas[..., KEPT, :][..., KEPT]


def read_idx(path: Path) -> Tensor:
    """Return the array of an IDX file, plain or compressed (`.gz`), as uint8.

    The file begins with two zero bytes, the type of the values, the number of axes, and their lengths of four bytes
    each, the most significant byte first.

    Raises:
        DatasetError: The file is missing, damaged or of another type.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        zeros, kind, axes = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{axes}I", content, 4)
    except FileNotFoundError as error:
        raise DatasetError(path, "is missing") from error
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DatasetError(path, f"cannot be read ({error})") from error
    if zeros != 0 or kind != UNSIGNED_BYTES:
        raise DatasetError(path, f"should be an IDX file of bytes; it begins with {content[:4].hex(' ')}")
    values = content[4 + 4 * axes :]
    if len(values) != math.prod(shape):
        raise DatasetError(path, f"should hold {math.prod(shape)} values, of the shape {shape}; it holds {len(values)}")
    return torch.frombuffer(bytearray(values), dtype=torch.uint8).reshape(shape)
