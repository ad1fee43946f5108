"""Divides official training samples into a training and a validation part."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

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


@dataclass(frozen=True)
class Subset:
    """Keeps some of the scenes, or some of the scans (images) of every scene, or both.

    Guo et al. (2025) train on 1/2 and 1/4 of the scans of each scene, on 12 scans of each, on 1/2 and 1/4 of the
    scenes, and on one scene. The paper does not say which ones. Here a hash of the name and the seed gives the order in
    which scenes and scans are taken. It is the same on every machine, and a larger number or share of the same seed
    keeps all that a smaller one keeps.

    Attributes:
        scans: How many scans of each scene to keep; all by default. A whole number (a scene that has fewer keeps all),
            or a share: a decimal number above 0 and up to 1.0, rounded, at least one scan.
        scenes: How many scenes to keep, likewise. A whole number may not exceed the number of scenes.
        seed: The seed of the choice.

    Raises:
        ValueError: Neither `scans` nor `scenes` is given, or one is out of its range.

    Example:
        >>> names = [f"{room}/{view}" for room in ("hall", "attic") for view in range(4)]
        >>> len(Subset(scans=0.5).choose(names, scene=lambda name: name.split("/")[0]))
        4
        >>> sorted(Subset(scenes=1).choose(names, scene=lambda name: name.split("/")[0]))
        ['attic/0', 'attic/1', 'attic/2', 'attic/3']
    """

    scans: int | float | None = None
    scenes: int | float | None = None
    seed: int = 0

    __pydantic_config__: ClassVar = {"extra": "forbid"}  # in a recipe, a misspelt key is an error

    def __post_init__(self) -> None:
        if self.scans is None and self.scenes is None:
            raise ValueError("`subset` should say how many `scans` of each scene to keep, or how many `scenes`.")
        for name, amount in (("scans", self.scans), ("scenes", self.scenes)):
            if amount is not None and not (amount >= 1 if isinstance(amount, int) else 0 < amount <= 1):
                raise ValueError(
                    f"`{name}` should be a whole number from 1, or a share in (0, 1.0]. Found `{name} = {amount}`."
                )

    def choose(self, identifiers: Sequence[str], scene: Callable[[str], str]) -> list[str]:
        """Return the names of the samples to keep, in the given order.

        Args:
            identifiers: The names of all samples.
            scene: Returns the scene of a sample.

        Raises:
            ValueError: There are fewer scenes than `scenes`.
        """
        by_scene: dict[str, list[str]] = {}
        for identifier in identifiers:
            by_scene.setdefault(scene(identifier), []).append(identifier)
        if isinstance(self.scenes, int) and self.scenes > len(by_scene):
            raise ValueError(f"`scenes` should be at most {len(by_scene)}, all that there are. Found {self.scenes}.")
        kept = {
            identifier
            for name in self._first(self.scenes, by_scene)
            for identifier in self._first(self.scans, by_scene[name])
        }
        return [identifier for identifier in identifiers if identifier in kept]

    def _first(self, amount: int | float | None, names: Sequence[str] | dict[str, list[str]]) -> list[str]:
        order = sorted(names, key=lambda name: hashlib.sha256(f"{self.seed}:{name}".encode()).digest())
        if amount is None:
            return order
        return order[: amount if isinstance(amount, int) else max(1, round(amount * len(order)))]
