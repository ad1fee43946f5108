"""Which balancing method, with which hyper-parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from equipoise import balancing, data, models
from equipoise._core.options import option_types
from equipoise._core.text import choose, unknown
from equipoise.config.base import BaseConfig, Grid, WithOptions, grid_points
from equipoise.data import Transform, transforms
from equipoise.tasks import Task


class BalancerConfig(WithOptions):
    """The balancing method with its hyper-parameters; a bare name stands for one with none."""

    name: str
    label: str | None = Field(default=None, min_length=1)
    """How tables call it, where the name alone would not tell two apart."""
    grid: Grid = Field(default_factory=dict)
    """Values to try of its options; the best on validation is used."""
    fixed_from: str | None = None
    """For `fixed`, in place of `weights`: the balancer of the same study whose weights are distilled (P2)."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping) and "fixed_from" in value and "name" not in value:
            return {"name": "fixed", "label": f"fixed from {value['fixed_from']}", **value}
        return value

    @model_validator(mode="after")
    def _known(self) -> "BalancerConfig":
        method = choose("name", self.name, balancing.all_methods())
        self._check(f"balancer `{self.name}`", option_types(method))
        if self.fixed_from is not None:
            if self.name != "fixed" or self.options or self.grid:
                raise ValueError(
                    "`fixed_from` stands in place of the weights of `fixed` and goes with no other option. "
                    f"Found `name = {self.name!r}`, options {list(self.options | self.grid)}"
                )
            return self
        if not self.grid:
            balancing.create(self.name, **self.options)
        for point in grid_points(self.grid) if self.grid else ():
            self.at(point)
        return self

    def at(self, point: Mapping[str, Any]) -> "BalancerConfig":
        """The balancer at a point of its grid.

        Raises:
            ValueError: It takes no such options.
        """
        content = self.model_dump(exclude={"grid"}, exclude_unset=True) | dict(point)
        return BalancerConfig.model_validate(content) if point else self

    @property
    def title(self) -> str:
        """What tables call it."""
        return self.label or self.name


class ModelConfig(WithOptions):
    """The network: architecture, backbone, initialisation, and the options of the architecture."""

    architecture: str = "shared"
    backbone: str | None = None
    """The name of a timm model; the architecture's own default if left out."""
    pretrained: bool | str = False

    @model_validator(mode="before")
    @classmethod
    def _default_backbone(cls, value: Any) -> Any:
        # What is written down says what is built, whatever the default becomes.
        if isinstance(value, Mapping) and value.get("backbone") is None:
            architecture = value.get("architecture", "shared")
            if architecture in models.available():
                return {**value, "backbone": models.default_backbone(architecture)}
        return value

    @model_validator(mode="after")
    def _known(self) -> "ModelConfig":
        self._check(f"architecture `{self.architecture}`", models.options(self.architecture))
        return self


class DataConfig(WithOptions):
    """The dataset: its name, its directory, and the options of its class."""

    name: str
    root: str | None = None
    corrupt: data.LabelNoise | None = None
    """Makes training labels wrong, see `equipoise.data.LabelNoise`."""
    subset: data.Subset | None = None
    """Leaves training samples out, see `equipoise.data.Subset`."""
    on_error: data.OnError = "raise"
    """Whether samples with missing or damaged files are an error or left out, see `equipoise.data.create`."""
    cache: data.Cache = "auto"
    """Where decoded files are kept, see `equipoise.data.storage.caching`."""
    metrics: Literal["main", "all"] = Field(default="main", exclude_if=lambda metrics: metrics == "main")
    """Which metrics of a task stand in tables and in delta_m: the main one (P1, equation 5), or all, whose mean is that
    of the task (P2, section 5)."""

    @field_validator("root")
    @classmethod
    def _absolute(cls, root: str | None) -> str | None:
        # A run is known by what it is made from, which must not depend on where the command was called.
        return None if root is None else str(Path(root).expanduser().absolute())

    @model_validator(mode="after")
    def _known(self) -> "DataConfig":
        if self.name not in data.available():
            raise unknown("name", self.name, data.available())
        self._check(f"dataset `{self.name}`", data.options(self.name))
        return self

    def tasks(self, names: Sequence[str] | None = None) -> dict[str, Task]:
        """The tasks of the dataset with the given names, all by default."""
        found = data.tasks(self.name, names, root=self.root, **self.options)
        if self.metrics == "main":
            return found
        return {name: replace(task, every_metric=True) for name, task in found.items()}


class AugmentationConfig(BaseConfig):
    """What is done to training samples at random; evaluation sees them as they are, or as `recipe` says."""

    recipe: str | None = None
    """Published augmentation instead of the keys `rotate`, `flip`, `scale`, `colour` and cutting to `size`: `T` (P1,
    ATRC, InvPT), `R_nyud` or `R_pascal` (MTI-Net on ResNet), see `equipoise.data.transforms`."""
    # Not written down where it is 0, as before there was this key: what a run is known by stays.
    rotate: float = Field(default=0.0, ge=0, le=180, exclude_if=lambda degrees: degrees == 0)
    """Largest angle of a random rotation in degrees, P2's being 10; what comes from outside is ignored."""
    flip: bool = True
    scale: tuple[float, float] | None = None
    """Smallest and largest factor of a random scale, P1's being 0.5 and 2; the result is cut or padded to `size`."""
    size: tuple[int, int] | None = None
    """Height and width of training images."""
    colour: bool = False

    @model_validator(mode="after")
    def _possible(self) -> "AugmentationConfig":
        if self.scale is not None and self.size is None:
            raise ValueError(
                "`scale` needs `size` too, the height and width to cut to: images of a batch have one size"
            )
        if self.recipe is not None and (self.rotate or self.scale is not None or self.colour or not self.flip):
            raise ValueError(
                f"`recipe = {self.recipe!r}` stands for all of it: leave `rotate`, `flip`, `scale` and `colour` out"
            )
        self.transforms()
        return self

    @property
    def _preset(self) -> transforms.Preset | None:
        if self.recipe is None:
            return None
        build = choose("recipe", self.recipe, transforms.RECIPES)
        if self.size is None:
            raise ValueError(f"`recipe = {self.recipe!r}` needs `size` too, the height and width of its images")
        return build(self.size)

    def evaluation_transforms(self) -> tuple[Transform, ...]:
        """What gives evaluated images one size, if anything; nothing of it is random."""
        preset = self._preset
        return () if preset is None else preset.evaluation

    def transforms(self) -> tuple[Transform, ...]:
        """The random transforms, in the order of P1's recipe after a rotation: scale, crop, flip, colour."""
        preset = self._preset
        if preset is not None:
            return preset.training
        found: list[Transform] = []
        if self.rotate:
            found.append(transforms.RandomRotation(self.rotate))
        if self.scale is not None:
            found.append(transforms.RandomScale(*self.scale))
        if self.size is not None:
            found.append(transforms.RandomCrop(self.size))
        if self.flip:
            found.append(transforms.RandomHorizontalFlip())
        if self.colour:
            found.append(transforms.ColourJitter())
        return tuple(found)


class ProbeConfig(BaseConfig):
    """Which gradients are recorded while a network trains; see `equipoise.Probe`."""

    every: int = Field(default=10, ge=1)
    at: Literal["last_layer", "features", "shared"] = "last_layer"
    feature_distance: bool = False
    """Whether the distance of shared features to those of the single-task networks is recorded too (P1, figure 6), for
    a forward pass of each of them on every recorded step; see `equipoise.diagnosis.FeatureDistance`."""


class TrainingConfig(BaseConfig):
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
