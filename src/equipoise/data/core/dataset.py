"""The contract of a dataset."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, SupportsIndex

import torch
from torch import Tensor

from equipoise._core.imports import reduce_with_module
from equipoise._core.text import unknown
from equipoise.data.core.label_noise import LabelNoise
from equipoise.data.core.sample import IMAGENET_MEAN, IMAGENET_STD, Collate, DatasetError, Sample, Transform
from equipoise.data.storage.stores import Memory, Nothing, Store
from equipoise.tasks import Task

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


class Dataset(torch.utils.data.Dataset[Sample], ABC):
    """A directory of images (or other inputs) and labels.

    A subclass says what it offers (the class attributes and :meth:`all_tasks`), which samples a split has
    (:meth:`identify`) and how one file is read (:meth:`file`, :meth:`read`); the rest is here.

    Args:
        root: The directory.
        split: One of ``splits``.
        tasks: The names of the tasks to read targets of; all by default. What is not asked for is not read.
        transform: Acts on every sample when it is taken; gets the sample and the tasks.
        options: For a dataset whose tasks depend on how it is opened: what :meth:`all_tasks` looks at.

    Attributes:
        identifiers: The names of the samples, in the order of the indices.
        active_tasks: The tasks that samples have targets of, by name.
        corruption: What makes labels wrong before they are transformed, if anything.
        store: Where decoded files are kept (in the few bits that they have on disk), so that later epochs do no more
            than convert and transform; the memory of this process where :func:`equipoise.data.create` sets no other.
        skipped: The samples that :func:`equipoise.data.core.subset.leave_out_damaged` left out, each with what is wrong
            with it.

    Raises:
        ValueError: There is no such split or task.
        DatasetError: The directory is not there or lacks a part of the dataset.
    """

    input: ClassVar[str] = "image"
    """What a network reads: its key in a sample."""
    name: ClassVar[str]
    """The name of the dataset, which is the name of its file."""
    splits: ClassVar[tuple[str, ...]]
    """The names of the splits."""
    source: ClassVar[str]
    """Where to get the dataset, in words that follow "Get it from"."""
    contents: ClassVar[tuple[str, ...]] = ()
    """The files and directories without which a directory is not this dataset."""
    as_published: ClassVar[Mapping[str, Any]] = NO_OPTIONS
    """Options under which the splits are those of the publisher: what :func:`equipoise.data.check` reads by default."""
    decodes: ClassVar[bool] = True
    """Whether reading takes long enough that what was read is worth keeping."""
    statistics: ClassVar[tuple[tuple[float, ...], tuple[float, ...]] | None] = (IMAGENET_MEAN, IMAGENET_STD)
    """Mean and deviation by which networks expect the channels of images in [0, 1] to be normalised; none if the input
    is no image."""
    augmentable: ClassVar[bool] = True
    """Whether the random transforms of images make sense: a mirrored digit is none."""

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        split: str = "train",
        tasks: Iterable[str] | None = None,
        transform: Transform | None = None,
        options: Mapping[str, Any] = NO_OPTIONS,
    ) -> None:
        if root is None:
            raise ValueError(
                f"`root` should be the directory of the dataset {self.name!r}. Found `root = None`. "
                f"Get it from {self.source}."
            )
        if split not in self.splits:
            raise unknown("split", split, self.splits)
        self.active_tasks = self.tasks(tasks, root, options)
        self.root = Path(root).expanduser()
        self.split = split
        self.transform = transform
        self.corruption: LabelNoise | None = None
        self.store: Store = Memory() if self.decodes else Nothing()
        self.skipped: list[tuple[str, DatasetError]] = []
        for missing in self.missing(self.root):
            raise missing
        self.identifiers = self.identify()
        if not self.identifiers:
            raise DatasetError(self.root, f"has no samples of the split {split!r}")

    @classmethod
    @abstractmethod
    def all_tasks(cls, root: str | Path | None = None, options: Mapping[str, Any] = NO_OPTIONS) -> tuple[Task, ...]:
        """Return the tasks that the dataset has labels of.

        Args:
            root: The directory that it is opened with; most datasets have the same tasks in any.
            options: Options of the dataset that it is opened with.
        """

    @abstractmethod
    def identify(self) -> list[str]:
        """Return the names of the samples of this split, always in the same order."""

    @abstractmethod
    def file(self, identifier: str, key: str) -> Path:
        """Return the file that holds the image (``key = "image"``) or a target (the name of the task) of a sample."""

    @abstractmethod
    def read(self, identifier: str, key: str) -> Tensor:
        """Return the image, uint8 ``[3, H, W]``, or a target, in the encoding of its task but any smaller type.

        Raises:
            DatasetError: The file is missing or damaged.
        """

    def faults(self) -> list[DatasetError]:
        """Return what is wrong with the split as a whole, for :func:`equipoise.data.check`; mostly nothing.

        Such as files of samples that :meth:`identify` passes over because they are incomplete.
        """
        return []

    def described_by(self) -> list[Path]:
        """Return the files that say how others are to be read: what was decoded before they changed is of no use."""
        return []

    @classmethod
    def missing(cls, root: Path) -> list[DatasetError]:
        """Return which of the ``contents`` are not there, with where to get them; the directory alone if it is none."""
        paths = [root] if not root.exists() else [root / entry for entry in cls.contents]
        what = f"is missing, {cls.name!r} needs it. Get it from {cls.source}."
        return [DatasetError(path, what) for path in paths if not path.exists()]

    def scene(self, identifier: str) -> str:
        """Return the scene that a sample shows, for :class:`equipoise.data.Subset`.

        Raises:
            ValueError: The samples of this dataset are not organised by scenes.
        """
        raise ValueError(f"`subset` chooses among scenes, which the dataset {self.name!r} does not have.")

    @classmethod
    def prepare(
        cls, root: str | Path | None, options: Mapping[str, Any], progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Make what the dataset makes by itself on first use; nothing for a dataset that is downloaded.

        Args:
            root: The directory that the dataset will be opened with.
            options: The dataset's own options.
            progress: Called with how much is made, and how much there is to make.
        """

    @classmethod
    def tasks(
        cls,
        names: Iterable[str] | None = None,
        root: str | Path | None = None,
        options: Mapping[str, Any] = NO_OPTIONS,
    ) -> dict[str, Task]:
        """Return the tasks with the given names (all by default) by name, in the order of the names.

        Args:
            names: The tasks wanted.
            root: The directory that the dataset is opened with.
            options: Options of the dataset that it is opened with.

        Raises:
            ValueError: There is no such task, or none is named.
        """
        offered = {task.name: task for task in cls.all_tasks(root, options)}
        chosen = list(offered) if names is None else list(names)
        if not chosen:
            raise ValueError(f"`tasks` should name one of {', '.join(offered)} at least. Found `tasks = []`.")
        for name in chosen:
            if name not in offered:
                raise unknown("tasks", name, offered)
        return {name: offered[name] for name in chosen}

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        # A process that loads data may be started from scratch, and know nothing of a user's file.
        return reduce_with_module(super().__reduce_ex__(protocol), type(self))

    def __len__(self) -> int:
        return len(self.identifiers)

    def __getitem__(self, index: int) -> Sample:
        """Return a sample, transformed; a task whose target has no label (left) is absent.

        Raises:
            DatasetError: A file of the sample is missing or damaged.
        """
        stored = self.decode(self.identifiers[index])
        sample = {self.input: self.to_input(stored[self.input])}
        for name, task in self.active_tasks.items():
            # A copy, so that no transform can reach what is kept.
            sample[name] = stored[name].to(task.dtype, copy=True)
            if self.corruption is not None:
                sample[name] = self.corruption(sample[name], task, self.identifiers[index])
        if self.transform is not None:
            sample = self.transform(sample, self.active_tasks)
        for name, task in self.active_tasks.items():
            if name not in sample:
                continue
            sample[name] = task.finish(sample[name])
            if not _has_labels(task, sample[name]):
                del sample[name]
        return sample

    def to_input(self, stored: Any) -> Any:
        """Turn what :meth:`read` returns for the input into what a network reads: an image into float32 in [0, 1]."""
        return stored.to(torch.float32, copy=True).div_(255)

    def draw_input(self, sample: Any) -> Tensor:
        """Return a picture, uint8 ``[3, H, W]``, of what a network reads, before normalisation (if any)."""
        return (sample.clamp(0, 1) * 255).round().to(torch.uint8).expand(3, -1, -1)

    def collate(self) -> Callable[[Sequence[Sample]], dict[str, Any]]:
        """Return what puts samples together to a batch, the ``collate_fn`` of a data loader."""
        return Collate(self.active_tasks)

    def decode(self, identifier: str) -> Sample:
        """Return the parts of a sample as they are stored, none of which may be changed in place.

        Raises:
            DatasetError: A file is missing or damaged, or a target has another size than its image.
        """
        sample = {key: self.store.get(self.read, identifier, key) for key in (self.input, *self.active_tasks)}
        for key, task in self.active_tasks.items():
            if task.dense and sample[key].shape[-2:] != sample[self.input].shape[-2:]:
                size, found = (tuple(sample[name].shape[-2:]) for name in (self.input, key))
                raise DatasetError(
                    self.file(identifier, key), f"should have the size of its image, {size}; it has {found}"
                )
        return sample


def _has_labels(task: Task, target: Tensor) -> bool:
    # Where one pixel in 64 shows a label, which is nearly always, there is no need to look at all.
    return (task.dense and task.has_labels(_every_eighth(target))) or task.has_labels(target)


def _every_eighth(target: Tensor) -> Tensor:
    """`target[..., ::8, ::8]`, in a fraction of the time."""
    *outer, height, width = target.shape
    *steps, down, across = target.stride()
    return target.as_strided((*outer, -(-height // 8), -(-width // 8)), (*steps, 8 * down, 8 * across))
