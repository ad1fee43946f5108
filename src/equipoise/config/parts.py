"""Sections of a configuration: balancing method, network, data, augmentation, training, and what is recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from equipoise import balancing, data, models
from equipoise._core.options import option_types
from equipoise._core.text import choose
from equipoise.config.base import BaseConfig, ClassConfig, Grid, grid_points
from equipoise.data import Transform, transforms
from equipoise.tasks import Task


class BalancerConfig(ClassConfig):
    """A balancing method with its hyper-parameters. A name alone stands for the method with its defaults."""

    name: str
    """A registered name, or `module:Class`."""
    label: str | None = Field(default=None, min_length=1)
    """The name in tables, where the method's name would not tell two apart."""
    grid: Grid = Field(default_factory=dict)
    """Values to try of its options; the best on validation is used."""
    fixed_from: str | None = None
    """For `fixed`, in place of `weights`: the balancer of the same study whose weights are distilled (Gama & Grassi,
    2025)."""

    @model_validator(mode="before")
    @classmethod
    def _expand_short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping) and "fixed_from" in value and "name" not in value:
            return {"name": "fixed", "label": f"fixed from {value['fixed_from']}", **value}
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        method = balancing.all_methods()[self.name]
        self._convert_options(f"balancer `{self.name}`", option_types(method))
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
        """Return the balancer at a point of its grid.

        Raises:
            ValueError: It does not take these options.
        """
        content = self.model_dump(exclude={"grid"}, exclude_unset=True) | dict(point)
        return BalancerConfig.model_validate(content) if point else self

    @property
    def title(self) -> str:
        """The name in tables."""
        return self.label or self.name


class ModelConfig(ClassConfig):
    """The network: architecture, backbone, initialisation, and the options of the architecture."""

    architecture: str = "shared"
    """A registered name, or `module:Class`."""
    backbone: str | None = None
    """The name of a timm model; the architecture's own default if left out."""
    pretrained: bool | str = False

    @model_validator(mode="before")
    @classmethod
    def _fill_in_backbone(cls, value: Any) -> Any:
        # A saved configuration names its backbone, so that a later change of the default does not change the run.
        if isinstance(value, Mapping) and value.get("backbone") is None:
            architecture = value.get("architecture", "shared")
            if isinstance(architecture, str):
                return {**value, "backbone": models.default_backbone(architecture)}
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._convert_options(f"architecture `{self.architecture}`", models.options(self.architecture))
        return self


class DataConfig(ClassConfig):
    """The dataset: its name, its directory, and the options of its class."""

    name: str
    """A registered name, or `module:Class`."""
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
    """The metrics of a task in tables and in delta_m. `main`: its main metric (Guo et al., 2025, equation 5). `all`:
    all of them; their mean is that of the task (Gama & Grassi, 2025, section 5)."""

    @field_validator("root")
    @classmethod
    def _make_absolute(cls, root: str | None) -> str | None:
        # Runs are made in other processes too, whose working directory may be another one.
        return None if root is None else str(Path(root).expanduser().absolute())

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._convert_options(f"dataset `{self.name}`", data.options(self.name))
        return self

    def tasks(self, names: Sequence[str] | None = None) -> dict[str, Task]:
        """Return the tasks of the dataset with the given names, all by default."""
        found = data.tasks(self.name, names, root=self.root, **self.options)
        if self.metrics == "main":
            return found
        return {name: replace(task, every_metric=True) for name, task in found.items()}


class AugmentationConfig(BaseConfig):
    """Random changes of training samples. Evaluation samples stay as they are, or as `recipe` says."""

    recipe: str | None = None
    """A published augmentation in place of `rotate`, `flip`, `scale`, `colour` and the cut to `size`: `T` (Guo et al.,
    2025; ATRC, InvPT), `R_nyud` or `R_pascal` (MTI-Net on ResNet), see `equipoise.data.transforms`."""
    rotate: float = Field(default=0.0, ge=0, le=180, exclude_if=lambda degrees: degrees == 0)
    """Largest angle of a random rotation in degrees; 10 in Gama & Grassi (2025). Pixels from outside of the image are
    ignored."""
    flip: bool = True
    scale: tuple[float, float] | None = None
    """Smallest and largest factor of a random scale, 0.5 and 2 in Guo et al. (2025); the result is cut or padded to
    `size`."""
    size: tuple[int, int] | None = None
    """Height and width of training images in pixels."""
    colour: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
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

    def _preset(self) -> transforms.Preset | None:
        if self.recipe is None:
            return None
        build = choose("recipe", self.recipe, transforms.RECIPES)
        if self.size is None:
            raise ValueError(f"`recipe = {self.recipe!r}` needs `size` too, the height and width of its images")
        return build(self.size)

    def transforms(self) -> tuple[Transform, ...]:
        """Return the random transforms in the order rotation, scale, crop, flip, colour.

        The order after the rotation is that of Guo et al. (2025).
        """
        preset = self._preset()
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

    def evaluation_transforms(self) -> tuple[Transform, ...]:
        """Return the transforms that give evaluation images one size, if any; nothing in them is random."""
        preset = self._preset()
        return () if preset is None else preset.evaluation


class ProbeConfig(BaseConfig):
    """The gradients to record while a network trains; see `equipoise.Probe`."""

    every: int = Field(default=10, ge=1)
    """Steps from one recording to the next."""
    at: Literal["last_layer", "features", "shared"] = "last_layer"
    feature_distance: bool = False
    """Whether to record the distance of shared features to those of the single-task networks too (Guo et al., 2025,
    figure 6). Each recorded step then takes a forward pass of every single-task network; see
    `equipoise.diagnosis.FeatureDistance`."""


class TrainingConfig(BaseConfig):
    """How a network is trained."""

    epochs: int = Field(default=100, ge=1)
    steps_per_epoch: int | None = Field(default=None, ge=1)
    """Steps in an epoch; one pass over the training data if left out. The 40,000 iterations of Guo et al. (2025) with
    an evaluation every 1,000 are `epochs: 40, steps_per_epoch: 1000`."""
    batch_size: int = Field(default=6, ge=1)
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """For `sgd`."""
    schedule: Literal["poly", "constant", "exponential", "plateau"] = "poly"
    schedule_power: float = Field(default=0.9, gt=0)
    """For `poly`: the learning rate is multiplied by (1 - progress) to this power."""
    schedule_every: Literal["epoch", "step"] = "step"
    """For `poly`: when the learning rate changes. `exponential` changes it every epoch; `plateau` may after every
    evaluation."""
    schedule_factor: float = Field(default=0.95, gt=0, lt=1)
    """For `exponential` and `plateau`: the factor by which the learning rate is multiplied."""
    schedule_patience: int = Field(default=5, ge=0)
    """For `plateau`: the number of evaluations without an improvement before the learning rate falls."""
    schedule_floor: float = Field(default=0.0, ge=0)
    """For `plateau`: the smallest learning rate."""
    clip: float = Field(default=0.0, ge=0)
    """Largest norm of the whole gradient; 0 for no limit."""
    evaluate_every: int = Field(default=1, ge=1)
    """Epochs between evaluations; the last epoch is always evaluated."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    workers: int = Field(default=0, ge=0)
    """Processes that load data; with 0, the training process loads them itself."""
    augmentation: AugmentationConfig = Field(default_factory=AugmentationConfig)
    probe: ProbeConfig | None = Field(default_factory=ProbeConfig)
    """The gradients to record for a diagnosis; they do not change what is trained. None: nothing is recorded."""
