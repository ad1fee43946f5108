"""Facts about a method. Listings, help texts and tests are made from them."""

import enum
from dataclasses import dataclass

from equipoise.balancing.context import Need


class Place(enum.Enum):
    """Where a method measures a step."""

    LOSSES = "losses"
    LAST_LAYER = "last layer"
    FEATURES = "features"
    SHARED = "shared parameters"


@dataclass(frozen=True, kw_only=True)
class MethodInfo:
    """Facts about a method.

    Attributes:
        name: Name in the registry.
        title: Full name.
        paper: Publication.
        default_place: Where it measures by default. This decides its cost.
        scale: Length of the update, described by the update for T identical tasks.
        heads: Gradient that a task's own parameters receive by default.
        state: State kept between steps.
        needs: Requirements by default, beyond losses, features and the last layer.
        weighs: Whether the update is a weighted sum of the task gradients, so that there are weights to report.
    """

    name: str
    title: str
    paper: str
    default_place: Place = Place.LOSSES
    scale: str
    heads: str = "weighted"
    state: str = "none"
    needs: frozenset[Need] = frozenset()
    weighs: bool = True
