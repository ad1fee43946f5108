"""The contract of a dataset."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from equipoise.data.collate import Collate, Sample
from equipoise.data.files import DatasetError
from equipoise.naming import unknown
from equipoise.tasks import Task

Transform = Callable[[Sample, Mapping[str, Task]], Sample]
"""Acts on an image and its targets together, see :mod:`equipoise.data.transforms`."""


class Dataset(torch.utils.data.Dataset[Sample], ABC):
    """A directory of images (or other inputs) and labels.

    A subclass says what it offers (the class attributes and :meth:`all_tasks`), which samples a split has
    (:meth:`identify`) and how one file is read (:meth:`file`, :meth:`read`); the rest is here.

    Args:
        root: The directory.
        split: One of ``splits``.
        tasks: The names of the tasks to read targets of; all by default. What is not asked for is not read.
        transform: Acts on every sample when it is taken; gets the sample and the tasks.
        keep_in_memory: Decode every file once and keep it (in the few bits that it has on disk), so that later epochs
            do no more than convert and transform.

    Attributes:
        identifiers: The names of the samples, in the order of the indices.
        active_tasks: The tasks that samples have targets of, by name.

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

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        split: str = "train",
        tasks: Iterable[str] | None = None,
        transform: Transform | None = None,
        keep_in_memory: bool = True,
    ) -> None:
        if root is None:
            raise ValueError(
                f"`root` should be the directory of the dataset {self.name!r}. Found `root = None`. "
                f"Get it from {self.source}."
            )
        if split not in self.splits:
            raise unknown("split", split, self.splits)
        self.active_tasks = self.tasks(tasks)
        self.root = Path(root).expanduser()
        self.split = split
        self.transform = transform
        for path in (self.root, *(self.root / entry for entry in self.contents)):
            if not path.exists():
                raise DatasetError(path, f"is missing, {self.name!r} needs it. Get it from {self.source}.")
        self.identifiers = self.identify()
        if not self.identifiers:
            raise DatasetError(self.root, f"has no samples of the split {split!r}")
        self._kept: dict[int, Sample] | None = {} if keep_in_memory else None

    @classmethod
    @abstractmethod
    def all_tasks(cls) -> tuple[Task, ...]:
        """Return the tasks that the dataset has labels of."""

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
    def tasks(cls, names: Iterable[str] | None = None) -> dict[str, Task]:
        """Return the tasks with the given names (all by default) by name, in the order of the names.

        Raises:
            ValueError: There is no such task, or none is named.
        """
        offered = {task.name: task for task in cls.all_tasks()}
        chosen = list(offered) if names is None else list(names)
        if not chosen:
            raise ValueError(f"`tasks` should name one of {', '.join(offered)} at least. Found `tasks = []`.")
        for name in chosen:
            if name not in offered:
                raise unknown("tasks", name, offered)
        return {name: offered[name] for name in chosen}

    def __len__(self) -> int:
        return len(self.identifiers)

    def __getitem__(self, index: int) -> Sample:
        """Return a sample, transformed; a task whose target has no label (left) is absent.

        Raises:
            DatasetError: A file of the sample is missing or damaged.
        """
        stored = self._stored(index)
        sample = {self.input: self.to_input(stored[self.input])}
        for name, task in self.active_tasks.items():
            # A copy, so that no transform can reach what is kept.
            sample[name] = stored[name].to(task.dtype, copy=True)
        if self.transform is not None:
            sample = self.transform(sample, self.active_tasks)
        for name, task in self.active_tasks.items():
            if name in sample and not task.has_labels(sample[name]):
                del sample[name]
        return sample

    def to_input(self, stored: Any) -> Any:
        """Turn what :meth:`read` returns for the input into what a network reads: an image into float32 in [0, 1]."""
        return stored.float() / 255

    def collate(self) -> Callable[[Sequence[Sample]], dict[str, Any]]:
        """Return what puts samples together to a batch, the ``collate_fn`` of a data loader."""
        return Collate(self.active_tasks)

    def _stored(self, index: int) -> Sample:
        if self._kept is None:
            return self._decode(self.identifiers[index])
        if index not in self._kept:
            self._kept[index] = self._decode(self.identifiers[index])
        return self._kept[index]

    def _decode(self, identifier: str) -> Sample:
        sample = {key: self.read(identifier, key) for key in (self.input, *self.active_tasks)}
        size = sample[self.input].shape[-2:]
        for key, task in self.active_tasks.items():
            values = sample[key]
            if task.dense and values.shape[-2:] != size:
                raise DatasetError(
                    self.file(identifier, key),
                    f"should have the size of its image, {tuple(size)}; it has {tuple(values.shape[-2:])}",
                )
        return sample
