"""Batches of a dataset, the same ones whoever loads them."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import Empty, Queue
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, RandomSampler, Sampler

from equipoise.config import TrainingConfig
from equipoise.data import Dataset
from equipoise.data.sample import Sample

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
        collate: Puts samples together.
        options: For the data loader.
    """

    def __init__(
        self,
        dataset: torch.utils.data.Dataset[Sample],
        settings: TrainingConfig,
        collate: Callable[[Sequence[Sample]], Batch],
        **options: Any,
    ) -> None:
        self._loader: DataLoader[Sample] = DataLoader(
            dataset,
            batch_size=settings.batch_size,
            num_workers=settings.workers,
            persistent_workers=settings.workers > 0,
            pin_memory=settings.accelerator != "cpu" and torch.cuda.is_available(),
            collate_fn=collate,
            **options,
        )

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        # To take a batch over from another process is work as well. What is loaded in this process is random by the
        # same state as dropout, which a thread beside it would disturb.
        return ahead(self._loader) if self._loader.num_workers else iter(self._loader)


class TrainLoader(Loader):
    """Training batches in random order, with random augmentation.

    All that is random follows from :meth:`seed`, sample by sample, so that batches do not depend on how many workers
    there are.

    Args:
        dataset: The split.
        settings: Batch size, batches an epoch, workers and device.
    """

    def __init__(self, dataset: Dataset, settings: TrainingConfig) -> None:
        self._draws = _Draws(dataset, settings.steps_per_epoch and settings.steps_per_epoch * settings.batch_size)
        super().__init__(
            _Drawn(dataset),
            settings,
            dataset.collate(),
            sampler=self._draws,
            generator=torch.Generator(),
            # A last batch of one sample has no statistics for batch normalisation.
            drop_last=len(self._draws) >= settings.batch_size,
        )

    def seed(self, seed: int) -> None:
        """Choose the batches that come next."""
        self._draws.generator.manual_seed(seed)


class _Draws(Sampler[Draw]):
    """Indices in random order, each with a seed."""

    def __init__(self, dataset: Dataset, samples: int | None) -> None:
        self.generator = torch.Generator()
        self._order = RandomSampler(dataset, num_samples=samples, generator=self.generator)

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Draw]:
        indices = list(self._order)
        seeds = torch.randint(2**62, (len(indices),), generator=self.generator).tolist()
        yield from zip(indices, seeds, strict=True)


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

    def take() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                ready.put((item, None))
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
