"""Where in a network a method looks."""

import enum


class Source(enum.Enum):
    """What a method must see of a step before it can decide."""

    LOSSES = "losses"
    LAST_LAYER = "last layer"
    FEATURES = "features"
    SHARED = "shared parameters"
