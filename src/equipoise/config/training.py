"""How a network is trained, and what is recorded meanwhile."""

from typing import Literal

from pydantic import Field

from equipoise.config.augmentation import AugmentationConfig
from equipoise.config.strict import Strict


class ProbeConfig(Strict):
    """Which gradients are recorded while a network trains; see `equipoise.Probe`."""

    every: int = Field(default=10, ge=1)
    at: Literal["last_layer", "features", "shared"] = "last_layer"
    feature_distance: bool = False
    """Whether the distance of shared features to those of the single-task networks is recorded too (P1, figure 6), for
    a forward pass of each of them on every recorded step; see `equipoise.diagnosis.FeatureDistance`."""


class TrainingConfig(Strict):
    """How a network is trained."""

    epochs: int = Field(default=100, ge=1)
    steps_per_epoch: int | None = Field(default=None, ge=1)
    """How many steps count as an epoch, where it is not one pass over the training data. P1's 40,000 iterations with an
    evaluation every 1,000 are `epochs: 40, steps_per_epoch: 1000`."""
    batch_size: int = Field(default=6, ge=1)
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of `sgd`."""
    schedule: Literal["poly", "constant", "exponential", "plateau"] = "poly"
    schedule_power: float = Field(default=0.9, gt=0)
    """Of `poly`: the learning rate is multiplied by (1 - progress) to this power."""
    schedule_every: Literal["epoch", "step"] = "step"
    """When `poly` goes on; `exponential` goes on every epoch, `plateau` looks at every evaluation."""
    schedule_factor: float = Field(default=0.95, gt=0, lt=1)
    """Of `exponential` and `plateau`: what the learning rate is multiplied by."""
    schedule_patience: int = Field(default=5, ge=0)
    """Of `plateau`: how many evaluations without an improvement are suffered."""
    schedule_floor: float = Field(default=0.0, ge=0)
    """Of `plateau`: the smallest learning rate."""
    clip: float = Field(default=0.0, ge=0)
    """Largest norm of the whole gradient; 0 leaves it as it is."""
    evaluate_every: int = Field(default=1, ge=1)
    """Epochs between evaluations; the last epoch is always evaluated."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    workers: int = Field(default=0, ge=0)
    augmentation: AugmentationConfig = Field(default_factory=AugmentationConfig)
    probe: ProbeConfig | None = Field(default_factory=ProbeConfig)
    """What is recorded for diagnosis; it does not change what is trained."""
