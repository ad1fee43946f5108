"""Subsets: less training data on purpose (Guo et al., 2025, section V-F and Table V)."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar


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
