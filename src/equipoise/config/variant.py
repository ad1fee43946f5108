"""What a study compares besides balancing methods."""

from typing import Any

from pydantic import Field

from equipoise.config.balancer import BalancerConfig
from equipoise.config.published import PublishedConfig
from equipoise.config.strict import Strict


class VariantConfig(Strict):
    """What one variant of a study has of its own: a network, an initialisation, another amount of data, ...

    The keys of `data`, `model` and `training`, and `tasks`, stand in place of the recipe's. Where a variant names
    another dataset or another architecture, the options of the recipe's are not taken over.
    """

    label: str = Field(min_length=1)
    reference: str | None = None
    """The variant whose single-task networks its delta_m is against; its own if left out."""
    tasks: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Some of the recipe's tasks, where it is not all of them."""
    data: dict[str, Any] = Field(default_factory=dict)
    model: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    balancers: tuple[BalancerConfig, ...] | None = Field(default=None, min_length=1)
    """The balancing methods, where they are not the recipe's."""
    published: PublishedConfig | None = None
    """The rows of a paper's table to compare with."""
