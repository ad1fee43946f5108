"""The base class of all datasets."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, SupportsIndex

import torch
from torch import Tensor

from equipoise._core.imports import public_name, reduce_with_module
from equipoise._core.text import unknown
from equipoise.data.core.fingerprint import chosen_options, digest, find_files
from equipoise.data.core.label_noise import LabelNoise
from equipoise.data.core.sample import IMAGENET_MEAN, IMAGENET_STD, Collate, DatasetError, Sample, Transform
from equipoise.data.storage.stores import Memory, Nothing, Store
from equipoise.tasks import Task

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


class Dataset(torch.utils.data.Dataset[Sample], ABC):
    """A directory of images (or other inputs) and labels.

    A subclass defines the tasks (`all_tasks`), the samples of a split (`identify`), and how one file is found and read
    (`file`, `read`). `equipoise.register` makes it available by name.

    Args:
        root: The directory.
        split: One of `splits`.
        tasks: The names of the tasks to read targets of; all by default. Other targets are not read.
        transform: Applied to every sample when it is taken; gets the sample and the tasks.
        options: Options that decide which tasks there are, for `all_tasks`.

    Attributes:
        identifiers: The names of the samples, in the order of the indices.
        active_tasks: The tasks that samples have targets of, by name.
        label_noise: Makes labels wrong before they are transformed, if it is set.
        store: Keeps decoded files for later epochs, in the types that they have on disk. It is the memory of this
            process unless `equipoise.data.create` sets another.
        skipped: The samples that `on_error="skip"` left out, each with its error.

    Raises:
        ValueError: There is no such split or task.
        DatasetError: The directory is missing or lacks a part of the dataset.
    """

    input: ClassVar[str] = "image"
    """The key of the network's input in a sample."""
    name: ClassVar[str]
    """The name that the dataset is registered under; `module:Class` for a class that is not registered."""
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    """The names of the splits."""
    source: ClassVar[str] = "its author"
    """Where to get the dataset; completes the sentence "Get it from"."""
    contents: ClassVar[tuple[str, ...]] = ()
    """Files and directories that must exist below the root."""
    as_published: ClassVar[Mapping[str, Any]] = NO_OPTIONS
    """Options that give the publisher's splits. `equipoise.data.check` uses them by default."""
    decodes: ClassVar[bool] = True
    """Whether reading is slow enough that keeping its results pays."""
    statistics: ClassVar[tuple[tuple[float, ...], tuple[float, ...]] | None] = (IMAGENET_MEAN, IMAGENET_STD)
    """Mean and standard deviation that normalise the channels of images in [0, 1]; none if the input is no image."""
    augmentable: ClassVar[bool] = True
    """Whether random transforms of images make sense. They do not for digits, for example."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls.name = vars(cls).get("name", f"{public_name(cls.__module__)}:{cls.__qualname__}")

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
        self.label_noise: LabelNoise | None = None
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
            root: The directory of the dataset. Most datasets have the same tasks in any.
            options: Options of the dataset.
        """

    @abstractmethod
    def identify(self) -> list[str]:
        """Return the names of the samples of this split, always in the same order."""

    @abstractmethod
    def file(self, identifier: str, key: str) -> Path:
        """Return the file of a sample's image (`key = "image"`) or target (`key` is the name of the task)."""

    @abstractmethod
    def read(self, identifier: str, key: str) -> Tensor:
        """Return an image, uint8 `[3, H, W]`, or a target in its task's encoding, of that type or a smaller one.

        Raises:
            DatasetError: The file is missing or damaged.
        """

    def faults(self) -> list[DatasetError]:
        """Return what is wrong with the split as a whole, for `equipoise.data.check`; nothing by default.

        An example: files of incomplete samples, which `identify` leaves out.
        """
        return []

    @classmethod
    def sources(cls, root: Path, options: Mapping[str, Any]) -> list[Path]:
        """Return the files and directories that the samples of all splits are read from; the root by default.

        The fingerprint and the cache on disk depend on them. A directory stands for all files below it. Override this
        where the root also holds other files.

        Args:
            root: The directory of the dataset.
            options: Options of the dataset.

        Raises:
            DatasetError: The directory is not in a form that is known.
        """
        return [root]

    @classmethod
    def fingerprint(cls, root: str | Path | None = None, options: Mapping[str, Any] = NO_OPTIONS) -> str:
        """Return a text that is the same for the same data, wherever they lie; see `equipoise.data.fingerprint`.

        Args:
            root: The directory of the dataset.
            options: Options of the dataset.

        Raises:
            DatasetError: The data are missing.
        """
        if root is None:
            raise DatasetError(
                Path(cls.name),
                f"needs `root`, its directory, or without files its own `fingerprint`. Get it from {cls.source}.",
            )
        root = Path(root).expanduser()
        for missing in cls.missing(root):
            raise missing
        files = find_files(root, cls.sources(root, options))
        if not files:
            raise DatasetError(root, f"holds no file of {cls.name!r}. Get it from {cls.source}.")
        return digest(cls.name, chosen_options(cls, options), files)

    @classmethod
    def missing(cls, root: Path) -> list[DatasetError]:
        """Return an error for every entry of `contents` that is missing, or one for the directory itself."""
        paths = [root] if not root.exists() else [root / entry for entry in cls.contents]
        what = f"is missing, {cls.name!r} needs it. Get it from {cls.source}."
        return [DatasetError(path, what) for path in paths if not path.exists()]

    def scene(self, identifier: str) -> str:
        """Return the scene that a sample shows, for `equipoise.data.Subset`.

        Raises:
            ValueError: The samples of this dataset are not grouped by scene.
        """
        raise ValueError(f"`subset` chooses among scenes, which the dataset {self.name!r} does not have.")

    @classmethod
    def prepare(
        cls, root: str | Path | None, options: Mapping[str, Any], progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Make what the dataset makes by itself on first use; nothing for a dataset that is downloaded.

        Args:
            root: The directory of the dataset.
            options: Options of the dataset.
            progress: Called with the number of finished parts and of all parts.
        """

    @classmethod
    def tasks(
        cls,
        names: Iterable[str] | None = None,
        root: str | Path | None = None,
        options: Mapping[str, Any] = NO_OPTIONS,
    ) -> dict[str, Task]:
        """Return the tasks with the given names by name, in the order of the names.

        Args:
            names: The names; all by default.
            root: The directory of the dataset.
            options: Options of the dataset.

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
        """Return a sample, transformed. A task whose target has no label (left) is absent.

        Raises:
            DatasetError: A file of the sample is missing or damaged.
        """
        stored = self.decode(self.identifiers[index])
        sample = {self.input: self.to_input(stored[self.input])}
        for name, task in self.active_tasks.items():
            # A copy, so that no transform can change what the store keeps.
            sample[name] = stored[name].to(task.dtype, copy=True)
            if self.label_noise is not None:
                sample[name] = self.label_noise(sample[name], task, self.identifiers[index])
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
        """Convert what `read` returns for the input to the network's input: an image to float32 in [0, 1]."""
        return stored.to(torch.float32, copy=True).div_(255)

    def draw_input(self, sample: Any) -> Tensor:
        """Return a picture, uint8 `[3, H, W]`, of a network's input that is not normalised."""
        return (sample.clamp(0, 1) * 255).round().to(torch.uint8).expand(3, -1, -1)

    def collate(self) -> Callable[[Sequence[Sample]], dict[str, Any]]:
        """Return the function that joins samples to a batch, the `collate_fn` of a data loader."""
        return Collate(self.active_tasks)

    def decode(self, identifier: str) -> Sample:
        """Return the parts of a sample as they are stored. Nothing in them may be changed in place.

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
    # One pixel in 64 nearly always shows a label; only if none does, all pixels are looked at.
    return (task.dense and task.has_labels(_every_eighth(target))) or task.has_labels(target)


def _every_eighth(target: Tensor) -> Tensor:
    """Return `target[..., ::8, ::8]` in a fraction of the time."""
    *outer, height, width = target.shape
    *steps, down, across = target.stride()
    return target.as_strided((*outer, -(-height // 8), -(-width // 8)), (*steps, 8 * down, 8 * across))
