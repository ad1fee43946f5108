"""What a run and a study are, as typed configuration: YAML files plus `key.sub=value` on the command line."""

import difflib
import inspect
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from equipoise import balancing, data, models
from equipoise.data import Transform, transforms
from equipoise.naming import check_options, choose, option_types, unknown
from equipoise.tasks import Task

SINGLE = "single"
"""What tables call the single-task networks."""


class ConfigError(ValueError):
    """A configuration is wrong; the message names key, value and fix."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _WithOptions(_Strict):
    """Its own keys, and those of a class that it names; values are converted to the types that the class asks for."""

    model_config = ConfigDict(extra="allow")

    @property
    def options(self) -> dict[str, Any]:
        """The options of the named class."""
        return dict(self.model_extra or {})

    def _check(self, owner: str, types: Mapping[str, Any]) -> None:
        check_options(owner, types, self.options)
        for name, value in self.options.items():
            try:
                converted = TypeAdapter(types[name], config={"arbitrary_types_allowed": True}).validate_python(value)
            except ValidationError as error:
                message = error.errors(include_url=False)[0]["msg"]
                raise ValueError(f"{message[0].lower()}{message[1:]}. Found `{name} = {value!r}`") from error
            (self.model_extra or {})[name] = converted


Grid = dict[str, tuple[Any, ...]]
"""Values to try by key."""


def grid_points(grid: Grid) -> list[dict[str, Any]]:
    """All combinations of the values of a grid; one without a key where the grid is empty.

    >>> grid_points({"a": (1, 2), "b": ("x",)})
    [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'x'}]
    """
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


class DataConfig(_WithOptions):
    """The dataset: its name, its directory, and the options of its class."""

    name: str
    root: str | None = None
    corrupt: data.Corruption | None = None
    """Makes training labels wrong, see `equipoise.data.Corruption`."""
    subset: data.Subset | None = None
    """Leaves training samples out, see `equipoise.data.Subset`."""
    on_error: data.OnError = "raise"
    """Whether samples with missing or damaged files are an error or left out, see `equipoise.data.create`."""
    cache: data.Cache = "auto"
    """Where decoded files are kept, see `equipoise.data.caching`."""

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
        return data.tasks(self.name, names, root=self.root, **self.options)


class AugmentationConfig(_Strict):
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


class ModelConfig(_WithOptions):
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


class BalancerConfig(_WithOptions):
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


class ProbeConfig(_Strict):
    """Which gradients are recorded while a network trains; see `equipoise.Probe`."""

    every: int = Field(default=10, ge=1)
    at: Literal["last_layer", "features", "shared"] = "last_layer"


class TrainingConfig(_Strict):
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


Protocol = Literal["validation", "paper_one"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class _Experiment(_Strict):
    """What a run and a study have in common."""

    data: DataConfig
    tasks: tuple[str, ...] = Field(min_length=1)
    model: ModelConfig = Field(default_factory=ModelConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)

    @model_validator(mode="after")
    def _tasks(self) -> Self:
        active = self.data.tasks(self.tasks)
        if self.data.corrupt is not None:
            self.data.corrupt.check(self.data.tasks(), active)
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"each of `tasks` should occur once. Found `tasks = {list(self.tasks)}`")
        return self

    @model_validator(mode="after")
    def _augmentation(self) -> Self:
        if self.training.augmentation.transforms() and not data.dataset_class(self.data.name).augmentable:
            raise ValueError(
                f"random transforms of images make no sense for `{self.data.name}`: set "
                "`training.augmentation.flip: false` and leave the others out"
            )
        return self


class PublishedConfig(_Strict):
    """Which rows of a paper's table a study is to be compared with."""

    table: str
    """One of `equipoise.studies.published.tables`."""
    rows: dict[str, str] = Field(default_factory=dict)
    """What the other columns of its rows hold, where a table has several rows a method: `{model: resnet-18}`."""
    reference: dict[str, str] | None = None
    """The same for the rows whose single-task networks they are compared with; like `rows` by default."""

    @property
    def title(self) -> str:
        """For people: the table, and which rows of it."""
        rows = ", ".join(self.rows.values())
        return self.table.replace("_", " ") + (f" ({rows})" if rows else "")


class VariantConfig(_Strict):
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


class RunConfig(_Experiment):
    """One training run, wholly described."""

    balancer: BalancerConfig
    seed: Seed = 0
    protocol: Protocol = "validation"
    """`validation`: the checkpoint is chosen on held-out training data, and the test split read once. `paper_one`: the
    checkpoint is chosen on the test split."""


class Recipe(_Experiment):
    """A study: which networks are trained on what, and compared."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    description: str = ""
    balancers: tuple[BalancerConfig, ...] = Field(min_length=1)
    variants: tuple[VariantConfig, ...] = ()
    """What is compared besides balancing methods; every variant gets its single-task networks and all methods."""
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    published: PublishedConfig | None = None
    """The rows of a paper's table to compare with; of a study with variants, each names its own."""
    grid: Grid = Field(default_factory=dict)
    """Values to try of keys such as `training.learning_rate`, for every method and every single-task network."""
    grid_seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    """The seeds of the trials of a grid."""
    protocol: Literal["validation", "paper_one", "paper_two"] = "validation"
    """As of a run, or `paper_two`: hyper-parameters and checkpoints are chosen on validation, and what was chosen runs
    once a seed."""

    @property
    def run_protocol(self) -> Protocol:
        """How each run chooses its checkpoint."""
        return "validation" if self.protocol == "paper_two" else self.protocol

    @property
    def published_rows(self) -> dict[str | None, PublishedConfig]:
        """What to compare with by variant, as far as anything is named."""
        named = {variant.label: variant.published for variant in self.variants} or {None: self.published}
        return {label: published for label, published in named.items() if published is not None}

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for balancers in (self.balancers, *(variant.balancers or () for variant in self.variants)):
            self._check_balancers(balancers)
        labels = [variant.label for variant in self.variants]
        if len(set(labels)) < len(labels):
            raise ValueError("two variants share a label: give them different ones")
        for point in grid_points(self.grid) if self.grid else ():
            self.at(point)
        for variant in self.variants:
            if variant.reference is not None and variant.reference not in labels:
                raise unknown(f"reference of variant {variant.label}", variant.reference, labels)
            for task in variant.tasks or ():
                if task not in self.tasks:
                    raise unknown(f"tasks of variant {variant.label}", task, self.tasks)
            try:
                self.variant(variant)
            except ValidationError as error:
                raise ValueError(f"variant {variant.label!r}: {'; '.join(_explanations(error, RunConfig))}") from error
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"each of `seeds` should occur once. Found `seeds = {list(self.seeds)}`")
        return self

    def _check_balancers(self, balancers: Sequence[BalancerConfig]) -> None:
        for balancer in balancers:
            weights = balancer.options.get("weights")
            missing = [task for task in self.tasks if isinstance(weights, Mapping) and task not in weights]
            if missing:
                raise ValueError(
                    f"balancer `{balancer.name}` should have a weight for every task, also for {', '.join(missing)}"
                )
        titles = [balancer.title for balancer in balancers]
        if len({SINGLE, *titles}) < len(titles) + 1:
            raise ValueError(f"two balancers share a name, or one is called `{SINGLE}`: give them different `label`s")
        sources = {balancer.title for balancer in balancers if balancer.fixed_from is None}
        for balancer in balancers:
            if balancer.fixed_from is not None and balancer.fixed_from not in sources:
                raise unknown("fixed_from", balancer.fixed_from, sources)

    def at(self, point: Mapping[str, Any]) -> "Recipe":
        """The recipe at a point of its grid.

        Raises:
            ValueError: A key is not one of `data`, `model` or `training`, or a value does not fit.
        """
        changes: dict[str, dict[str, Any]] = {}
        for key, value in point.items():
            part, _, name = key.partition(".")
            if part not in ("data", "model", "training") or not name:
                raise ValueError(
                    "the keys of `grid` should be of `data`, `model` or `training`, such as `training.learning_rate`. "
                    f"Found `{key}`"
                )
            changes.setdefault(part, {})[name] = value
        if not point:
            return self
        content = {name: getattr(self, name) for name in _Experiment.model_fields}
        content |= {part: _merged(content[part], of_part) for part, of_part in changes.items()}
        # What a point does not change needs no second look: a grid may have many.
        there = _Experiment.model_validate(content)
        found = {name: getattr(there, name) for name in _Experiment.model_fields}
        return self.model_copy(update=found | {"grid": {}, "variants": ()})

    def variant(self, variant: VariantConfig) -> "Recipe":
        """The recipe that a variant stands for, without variants of its own.

        Raises:
            ValidationError: The variant's keys do not fit.
        """
        parts = {"data": variant.data, "model": variant.model, "training": variant.training}
        content = {name: getattr(self, name) for name in Recipe.model_fields if name != "variants"}
        for key, changes in parts.items():
            if changes:
                content[key] = _merged(content[key], changes)
        own = {"balancers": variant.balancers or self.balancers, "tasks": variant.tasks or self.tasks}
        return Recipe.model_validate(content | own)


def _merged(base: BaseModel, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a part of a recipe with some keys changed, of its class's own options only if they are the same's.

    An option belongs to what `name` or `architecture` says; another one has options of its own.
    """
    content = base.model_dump(exclude_unset=True)
    if isinstance(base, _WithOptions) and any(
        key in changes and changes[key] != getattr(base, key, None) for key in ("name", "architecture")
    ):
        content = {key: value for key, value in content.items() if key in type(base).model_fields}
    return content | dict(changes)


Config = TypeVar("Config", bound=BaseModel)


def load(path: Path, kind: type[Config], overrides: Sequence[str] = ()) -> Config:
    """Read a configuration.

    Args:
        path: A YAML file.
        kind: What it should be.
        overrides: Changes such as `training.epochs=5`; values are YAML, list entries are named by their number.

    Raises:
        ConfigError: The file cannot be read, or does not describe a `kind`.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"`{path}` cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"`{path}` is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"`{path}` should hold keys and values. Found {type(content).__name__}.")
    for override in overrides:
        _override(content, override)
    return parse(content, kind, str(path))


def parse(content: Mapping[str, Any], kind: type[Config], where: str) -> Config:
    """Check plain data against a configuration class.

    Args:
        content: The data.
        kind: What it should be.
        where: What to call its origin in messages.

    Raises:
        ConfigError: It does not fit; every fault is named, unknown keys with the nearest valid one.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        lines = (f"  {line}" for line in _explanations(error, kind))
        raise ConfigError(f"`{where}` cannot be used:\n" + "\n".join(lines)) from error


def dataset(name: str, root: Path | None, overrides: Sequence[str] = ()) -> DataConfig:
    """The configuration of a dataset from the command line.

    Args:
        name: The name of the dataset.
        root: Its directory.
        overrides: Options of the dataset such as `classes=7`; values are YAML.

    Raises:
        ConfigError: There is no such dataset or option.
    """
    content: dict[str, Any] = {"name": name, "root": None if root is None else str(root)}
    for override in overrides:
        _override(content, override)
    return parse(content, DataConfig, name)


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    steps = key.strip().split(".")
    if not equals or not all(steps):
        raise ConfigError(f"`{override}` should have the form key.sub=value, such as training.epochs=5.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"`{override}` has a value that is not YAML: {text!r}. Put it in quotes?") from error
    place: Any = content
    for number, step in enumerate(steps):
        where = ".".join(steps[:number])
        if isinstance(place, list):
            if not step.isdecimal() or int(step) >= len(place):
                raise ConfigError(f"`{override}`: `{where}` has {len(place)} entries, counted from 0. Found `{step}`.")
            index: Any = int(step)
        elif isinstance(place, dict):
            index = step
            place.setdefault(step, None)
        else:
            raise ConfigError(f"`{override}`: `{where}` has no keys of its own.")
        if number == len(steps) - 1:
            place[index] = value
        elif place[index] is None:
            place[index] = {}
        elif isinstance(place, list) and isinstance(place[index], str):
            # A bare name in a list stands for a mapping with that name: `balancers.0.every=10`.
            place[index] = {"name": place[index]}
        place = place[index]


def _keys(kind: type[BaseModel]) -> list[str]:
    """All keys of a configuration class, nested ones with dots."""
    found = []
    for name, field in kind.model_fields.items():
        found.append(name)
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            found += [f"{name}.{key}" for key in _keys(field.annotation)]
    return found


def _explanations(error: ValidationError, kind: type[BaseModel]) -> list[str]:
    valid = _keys(kind)
    return [_explain(fault, valid) for fault in error.errors(include_url=False)]


def _explain(fault: Any, valid: Sequence[str]) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        # The same word elsewhere is a better guess than a similar word here.
        same = [name for name in valid if name.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
        nearest = same or difflib.get_close_matches(key, valid, n=1, cutoff=0.0)
        return f"unknown key `{key}`; did you mean `{nearest[0]}`?"
    if fault["type"] == "missing":
        return f"`{key}` is missing"
    message = fault["msg"].removeprefix("Value error, ").replace("tuple", "list").rstrip(".")
    if fault["type"] == "model_type":
        message = "should be a mapping of keys to values"
    found = fault["input"]
    own = fault["type"] == "value_error"
    shown = "" if own or isinstance(found, dict | list) else f". Found `{key} = {found!r}`"
    prefix = f"`{key}`: " if key else ""
    return f"{prefix}{message[0].lower()}{message[1:]}{shown}"
