"""Batches of a dataset, the same ones whoever loads them."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import Empty, Queue
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, RandomSampler, Sampler

from equipoise.config import TrainingConfig
from equipoise.data import Dataset
from equipoise.data.core.sample import Sample

Batch = dict[str, Any]
Draw = tuple[int, int]
"""The index of a sample, and the seed of what is random in it."""

T = TypeVar("T")

_WAITING = 2
"""Batches that may lie ready: more would only take memory."""


class Loader:
    """The batches of a split in their order.

    Args:
        dataset: The split.
        settings: Batch size, workers and device.
    """

    def __init__(self, dataset: Dataset, settings: TrainingConfig) -> None:
        self._loader = _loader(dataset, settings, dataset.collate(), batch_size=settings.batch_size)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        return _batches(self._loader)


class TrainLoader:
    """Training batches in random order, with random augmentation.

    All that is random follows from the seed of an epoch, sample by sample, so that batches do not depend on how many
    workers there are.

    Args:
        dataset: The split.
        settings: Batch size, batches an epoch, workers and device.
    """

    def __init__(self, dataset: Dataset, settings: TrainingConfig) -> None:
        self._epochs = _Epochs(dataset, settings)
        self._loader = _loader(
            _Drawn(dataset), settings, dataset.collate(), batch_sampler=self._epochs, generator=torch.Generator()
        )

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self._epochs)

    def stream(self, seeds: Iterable[int]) -> Iterator[Batch]:
        """The batches of one epoch after the other, without a pause between them.

        The first batches of an epoch are loaded by workers while the last ones of the epoch before are trained on. All
        streams have the same workers: let go of one before another is begun.

        Args:
            seeds: One for each epoch; asked for when the epoch is loaded.
        """
        self._epochs.seeds = seeds
        return _batches(self._loader)


def _loader(
    dataset: torch.utils.data.Dataset[Sample],
    settings: TrainingConfig,
    collate: Callable[[Sequence[Sample]], Batch],
    **options: Any,
) -> DataLoader[Sample]:
    return DataLoader(
        dataset,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        pin_memory=settings.accelerator != "cpu" and torch.cuda.is_available(),
        collate_fn=collate,
        **options,
    )


def _batches(loader: DataLoader[Sample]) -> Iterator[Batch]:
    # To take a batch over from another process is work as well. What is loaded in this process is random by the same
    # state as dropout, which a thread beside it would disturb.
    return ahead(loader) if loader.num_workers else iter(loader)


class _Epochs(Sampler[list[Draw]]):
    """The batches of one epoch for each seed: indices in random order, each with a seed of its own."""

    def __init__(self, dataset: Dataset, settings: TrainingConfig) -> None:
        self.seeds: Iterable[int] = ()
        self._generator = torch.Generator()
        samples = settings.steps_per_epoch and settings.steps_per_epoch * settings.batch_size
        self._order = RandomSampler(dataset, num_samples=samples, generator=self._generator)
        self._size = settings.batch_size
        # A last batch of one sample has no statistics for batch normalisation.
        self._drop_last = len(self._order) >= settings.batch_size

    def __len__(self) -> int:
        whole, rest = divmod(len(self._order), self._size)
        return whole + (rest > 0 and not self._drop_last)

    def __iter__(self) -> Iterator[list[Draw]]:
        for seed in self.seeds:
            self._generator.manual_seed(seed)
            indices = list(self._order)
            seeds = torch.randint(2**62, (len(indices),), generator=self._generator).tolist()
            draws = list(zip(indices, seeds, strict=True))
            for batch in range(len(self)):
                yield draws[batch * self._size : (batch + 1) * self._size]


class _Drawn(torch.utils.data.Dataset[Sample]):
    """A dataset whose samples are made with a random state of their own."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __getitem__(self, draw: Draw) -> Sample:
        index, seed = draw
        # `torch.manual_seed` in a `fork_rng` does the same in fifty times the time: it also looks at every GPU.
        held = torch.default_generator.get_state()
        torch.default_generator.manual_seed(seed)
        try:
            return self._dataset[index]
        finally:
            torch.default_generator.set_state(held)


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Take items in a thread, so that the next one lies ready when it is asked for.

    Raises:
        Exception: What taking an item raised.
    """
    ready: Queue[tuple[T | None, BaseException | None]] = Queue(_WAITING)
    stopped = threading.Event()
    # Held here longer than by whoever takes it: to give memory back that processes share takes a millisecond or two.
    given = deque[T](maxlen=_WAITING + 2)

    def take() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                ready.put((item, None))
                given.append(item)
                if stopped.is_set():
                    return
        except BaseException as raised:
            error = raised
        ready.put((None, error))

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        stopped.set()
        # Whoever stops early leaves a thread that waits for room.
        while thread.is_alive():
            try:
                ready.get(timeout=0.01)
            except Empty:
                thread.join(timeout=0.01)
