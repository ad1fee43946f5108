"""Data loaders whose batches depend on the seed alone, not on the number of workers."""

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
SeededIndex = tuple[int, int]
"""The index of a sample, and the seed of its augmentation."""

T = TypeVar("T")

_PREFETCHED = 2
"""Batches that may be ready at a time. More would only take memory."""


class Loader:
    """The batches of a split, in the order of the split.

    Args:
        dataset: The split.
        settings: Batch size, workers and device.
    """

    def __init__(self, dataset: Dataset, settings: TrainingConfig) -> None:
        self._loader = _data_loader(dataset, settings, dataset.collate(), batch_size=settings.batch_size)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        return _batches(self._loader)


class TrainLoader:
    """Training batches in random order, with random augmentation.

    The order of an epoch and the augmentation of each of its samples follow from one seed. The batches are therefore
    the same for any number of workers.

    Args:
        dataset: The split.
        settings: Batch size, batches an epoch, workers and device.
    """

    def __init__(self, dataset: Dataset, settings: TrainingConfig) -> None:
        self._epochs = _EpochSampler(dataset, settings)
        self._loader = _data_loader(
            _SeededDataset(dataset),
            settings,
            dataset.collate(),
            batch_sampler=self._epochs,
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self._epochs)

    def stream(self, seeds: Iterable[int]) -> Iterator[Batch]:
        """Yield the batches of one epoch after the other, without a pause between them.

        Workers load the first batches of an epoch while the last ones of the epoch before are trained on. All streams
        of a loader share its workers: drop one before you begin another.

        Args:
            seeds: One for each epoch. A seed is asked for when its epoch is loaded.
        """
        self._epochs.seeds = seeds
        return _batches(self._loader)


def prefetch(items: Iterable[T]) -> Iterator[T]:
    """Take items in a thread, so that the next one is ready when it is asked for.

    Raises:
        Exception: Any exception that taking an item raised.

    Example:
        >>> list(prefetch(range(3)))
        [0, 1, 2]
    """
    ready: Queue[tuple[T | None, BaseException | None]] = Queue(_PREFETCHED)
    stopped = threading.Event()
    # The thread keeps items longer than their user does. Giving back memory that processes share takes 1 to 2 ms, and
    # this way the thread does it.
    recent = deque[T](maxlen=_PREFETCHED + 2)

    def take() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                ready.put((item, None))
                recent.append(item)
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
        # After an early stop the thread may still wait for room in the queue.
        while thread.is_alive():
            try:
                ready.get(timeout=0.01)
            except Empty:
                thread.join(timeout=0.01)


def _data_loader(
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
    # Taking a batch over from a worker takes time, too. Without workers a thread would disturb dropout: loading uses
    # the random state of this process.
    return prefetch(loader) if loader.num_workers else iter(loader)


class _EpochSampler(Sampler[list[SeededIndex]]):
    """The batches of one epoch for each seed: indices in random order, each with a seed of its own."""

    def __init__(self, dataset: Dataset, settings: TrainingConfig) -> None:
        self.seeds: Iterable[int] = ()
        self._generator = torch.Generator()
        samples = settings.steps_per_epoch and settings.steps_per_epoch * settings.batch_size
        self._order = RandomSampler(dataset, num_samples=samples, generator=self._generator)
        self._size = settings.batch_size
        # Batch normalisation cannot compute statistics of a last batch of one sample.
        self._drop_last = len(self._order) >= settings.batch_size

    def __len__(self) -> int:
        whole, rest = divmod(len(self._order), self._size)
        return whole + (rest > 0 and not self._drop_last)

    def __iter__(self) -> Iterator[list[SeededIndex]]:
        for seed in self.seeds:
            self._generator.manual_seed(seed)
            indices = list(self._order)
            seeds = torch.randint(2**62, (len(indices),), generator=self._generator).tolist()
            pairs = list(zip(indices, seeds, strict=True))
            for batch in range(len(self)):
                yield pairs[batch * self._size : (batch + 1) * self._size]


class _SeededDataset(torch.utils.data.Dataset[Sample]):
    """A dataset that draws the augmentation of a sample from the seed that comes with its index."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __getitem__(self, seeded: SeededIndex) -> Sample:
        index, seed = seeded
        # `fork_rng` with `manual_seed` does the same, but takes 50 times as long: it also visits every GPU.
        state = torch.default_generator.get_state()
        torch.default_generator.manual_seed(seed)
        try:
            return self._dataset[index]
        finally:
            torch.default_generator.set_state(state)
