"""What is known of a method before it is used: listings, help and tests are made from it."""

import enum
from dataclasses import dataclass

from equipoise.balancing.context import Need


class Place(enum.Enum):
    """What a method must see of a step before it can decide."""

    LOSSES = "losses"
    LAST_LAYER = "last layer"
    FEATURES = "features"
    SHARED = "shared parameters"


@dataclass(frozen=True, kw_only=True)
class MethodInfo:
    """What is to be known of a method before it is used.

    Attributes:
        name: Its name in the registry.
        title: Its name in full.
        paper: Where it was published.
        default_place: What it must see by default, hence what it costs.
        scale: The length of its update: what it makes of T identical tasks.
        heads: What a task's own parameters receive by default.
        state: What it remembers between steps.
        needs: What it needs by default beyond losses, features and the last layer.
        weighs: Whether its update is a weighted sum of the tasks' gradients, so that there are weights to tell.
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
