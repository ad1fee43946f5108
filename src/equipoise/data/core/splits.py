"""Divides official training samples into a training and a validation part."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from equipoise._core.errors import require
from equipoise.data.core.sample import EmptySplitError


def check_share(validation: float) -> None:
    """Check that a share for validation leaves something for training.

    Raises:
        ValueError: It is not in [0, 1).
    """
    require(0 <= validation < 1, "validation", validation, "be in [0, 1)")


def held_out_runs(numbers: Sequence[str], *, share: float, seed: int) -> set[str]:
    """Choose runs of consecutive numbers for validation.

    Args:
        numbers: Decimal numbers, ascending. Other text is a run of its own.
        share: The largest share of the numbers to choose. Runs that would exceed it are passed over.
        seed: The seed of the choice.

    Example:
        >>> sorted(held_out_runs(["01", "02", "05", "06", "07"], share=0.5, seed=0))
        ['01', '02']
    """
    chosen: set[str] = set()
    for run in _shuffled(_runs(numbers), seed):
        if len(chosen) + len(run) <= round(share * len(numbers)):
            chosen.update(run)
    return chosen


def held_out_singles(identifiers: Sequence[str], *, share: float, seed: int) -> set[str]:
    """Choose samples for validation that are independent of each other.

    Args:
        identifiers: The names of the samples, in any order.
        share: The share of the samples to choose; at least one, if there are two and the share is not 0.
        seed: The seed of the choice.

    Example:
        >>> sorted(held_out_singles(["a", "b", "c", "d"], share=0.5, seed=0))
        ['a', 'd']
    """
    wanted = min(max(1, round(share * len(identifiers))), len(identifiers) - 1) if share else 0
    return {identifier for (identifier,) in _shuffled([[name] for name in identifiers], seed)[:wanted]}


def held_out(identifiers: Sequence[str], *, share: float, seed: int) -> set[str]:
    """Choose runs of consecutive numbers for validation, at least one sample.

    It chooses as `held_out_runs` does. If every run is larger than the share, it takes the shortest run. If all
    samples are one run, it takes single samples.

    Args:
        identifiers: The names of the samples, in any order.
        share: The approximate share of the samples to choose; none if 0.
        seed: The seed of the choice.

    Example:
        >>> sorted(held_out(["1", "2", "3", "7", "8"], share=0.1, seed=0))
        ['7', '8']
        >>> len(held_out(["1", "2", "3"], share=0.1, seed=0))
        1
    """
    if not share:
        return set()
    numbers = sorted(identifiers, key=lambda name: (int(name) if name.isdecimal() else -1, name))
    chosen = held_out_runs(numbers, share=share, seed=seed)
    if chosen:
        return chosen
    runs = _shuffled(_runs(numbers), seed)
    return set(min(runs, key=len)) if len(runs) > 1 else held_out_singles(numbers, share=share, seed=seed)


def divide(split: str, identifiers: Sequence[str], chosen: set[str], path: Path) -> list[str]:
    """Return the samples of a split, in the order of the list: the chosen ones for `"val"`, the others for `"train"`.

    Args:
        split: `"train"` or `"val"`.
        identifiers: The official training samples.
        chosen: The samples for validation.
        path: The list of the official training samples.

    Raises:
        EmptySplitError: No sample is left for the split.
    """
    part = [identifier for identifier in identifiers if (identifier in chosen) == (split == "val")]
    if not part:
        raise EmptySplitError(path, f"lists {len(identifiers)} images, of which `validation` leaves none to {split!r}")
    return part


def _runs(numbers: Sequence[str]) -> list[list[str]]:
    runs: list[list[str]] = []
    for number in numbers:
        if runs and _follows(runs[-1][-1], number):
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


def _follows(first: str, second: str) -> bool:
    return first.isdecimal() and second.isdecimal() and int(second) == int(first) + 1


def _shuffled(runs: Sequence[list[str]], seed: int) -> list[list[str]]:
    # A hash gives the same order with every version of every library, unlike a random generator.
    return sorted(runs, key=lambda run: hashlib.sha256(f"{seed}:{run[0]}".encode()).digest())
