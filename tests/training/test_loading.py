"""Batches depend on the seed alone, not on the workers that load them."""

import threading
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
import torch

from equipoise.config import TrainingConfig
from equipoise.data import create, transforms
from equipoise.training.loading import TrainLoader, prefetch


def batches(root: Path, seeds: Sequence[int] = (3,), **settings: Any) -> list[dict[str, torch.Tensor]]:
    transform = transforms.Compose((transforms.RandomHorizontalFlip(), transforms.RandomCrop((24, 24))))
    dataset = create("rooms", root=root, split="train", tasks=["seg", "depth"], transform=transform)
    loader = TrainLoader(dataset, TrainingConfig(batch_size=2, epochs=1, accelerator="cpu", **settings))
    found = list(loader.stream(seeds))
    assert len(found) == len(loader) * len(seeds)
    return found


def equal(first: list[dict[str, torch.Tensor]], second: list[dict[str, torch.Tensor]]) -> bool:
    return len(first) == len(second) and all(
        a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.slow
def test_batches_do_not_depend_on_the_number_of_workers(rooms: Path) -> None:
    torch.manual_seed(7)
    alone = batches(rooms, [3, 4])
    assert equal(alone, batches(rooms, [3, 4], workers=1))
    assert equal(alone, batches(rooms, [3, 4], workers=2))


def test_an_epoch_depends_on_its_seed_alone(rooms: Path) -> None:
    assert equal(batches(rooms, [3, 4]), batches(rooms, [3]) + batches(rooms, [4]))


def test_a_stream_may_be_left_for_another(rooms: Path) -> None:
    dataset = create("rooms", root=rooms, split="train", tasks=["seg"])
    loader = TrainLoader(dataset, TrainingConfig(batch_size=2, epochs=1, workers=1, accelerator="cpu"))
    expected = list(islice(loader.stream([3]), 2))
    stream = loader.stream(count(5))
    next(stream)
    stream = loader.stream([3])
    assert equal(list(islice(stream, 2)), expected)


def test_another_seed_gives_other_batches(rooms: Path) -> None:
    assert equal(batches(rooms), batches(rooms))
    assert not equal(batches(rooms), batches(rooms, seeds=[4]))


def test_an_epoch_of_a_given_number_of_steps_draws_with_replacement(rooms: Path) -> None:
    assert len(batches(rooms, steps_per_epoch=50)) == 50


def test_loading_leaves_the_random_state_alone(rooms: Path) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    batches(rooms)
    assert torch.equal(before, torch.random.get_rng_state())


def test_what_is_taken_ahead_comes_in_order_and_ends() -> None:
    assert list(prefetch(range(20))) == list(range(20))
    assert list(prefetch([])) == []


def test_an_error_reaches_whoever_takes() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    taken = prefetch(broken())
    assert next(taken) == 1
    with pytest.raises(OSError, match="disk is gone"):
        next(taken)


def test_stopping_early_leaves_no_thread() -> None:
    before = threading.active_count()
    taken = prefetch(iter(range(1000)))
    assert next(taken) == 0
    taken.close()
    assert threading.active_count() == before
