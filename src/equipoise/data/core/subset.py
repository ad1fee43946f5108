"""Less training data on purpose (P1, section V-F and Table V)."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from equipoise.data.core.dataset import Dataset
from equipoise.data.core.sample import DatasetError
from equipoise.data.storage.stores import threaded


@dataclass(frozen=True)
class Subset:
    """Keeps some of the scenes, or some of the scans (images) of every scene, or both.

    P1 trains on 1/2 and 1/4 of the scans of each scene, on 12 scans of each, on 1/2 and 1/4 of the scenes and on one.
    Which ones it does not say. Here scenes and scans are taken in an order drawn by hashing their names with the seed:
    the same on every machine, and what a smaller number or share keeps, a larger one of the same seed keeps too.

    Attributes:
        scans: How many scans of each scene to keep, all by default: a whole number (where a scene has fewer, it keeps
            them all), or a share as a decimal number above 0 and up to 1.0, rounded, of which at least one is kept.
        scenes: How many scenes to keep, likewise; a whole number may not be above what there are.
        seed: Which ones.

    Raises:
        ValueError: Neither ``scans`` nor ``scenes`` is given, or one is out of its range.

    Examples:
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
        """Return the names of the samples to keep, in the order given.

        Args:
            identifiers: The names of all samples.
            scene: Tells the scene of a sample.

        Raises:
            ValueError: There are fewer scenes than ``scenes``.
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


def leave_out_damaged(dataset: Dataset) -> None:
    """Open every file once and leave out the samples in which :func:`equipoise.data.check` finds a fault.

    They are listed in ``skipped`` of the dataset; one warning says how many there are.

    Raises:
        DatasetError: No sample is left.
    """
    errors = dict(zip(dataset.identifiers, threaded(partial(_damage, dataset), dataset.identifiers), strict=True))
    dataset.skipped = [(identifier, error) for identifier, error in errors.items() if error is not None]
    if not dataset.skipped:
        return
    _, first = dataset.skipped[0]
    if len(dataset.skipped) == len(dataset):
        raise DatasetError(first.path, f"{first.what}; of the split {dataset.split!r} no sample is sound")
    warnings.warn(
        f"{len(dataset.skipped)} of {len(dataset)} samples of {dataset.name!r} ({dataset.split}) are left out. "
        f"The first: {first}. `equipoise data check {dataset.name} {dataset.root}` lists all.",
        stacklevel=3,
    )
    dataset.identifiers = [identifier for identifier in dataset.identifiers if errors[identifier] is None]


def _damage(dataset: Dataset, identifier: str) -> DatasetError | None:
    try:
        sample = dataset.decode(identifier)
    except DatasetError as error:
        return error
    for name, task in dataset.active_tasks.items():
        for fault in task.faults(task.finish(sample[name].to(task.dtype))):
            return DatasetError(dataset.file(identifier, name), fault)
    return None
