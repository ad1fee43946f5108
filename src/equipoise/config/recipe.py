"""A study: which networks are trained on what, and compared."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from equipoise._core.text import choose, unknown
from equipoise.balancing import all_methods
from equipoise.config.base import BaseConfig, Grid, WithOptions, explanations, grid_points
from equipoise.config.parts import BalancerConfig
from equipoise.config.run import Experiment, Protocol, RunConfig, Seed


class PublishedConfig(BaseConfig):
    """Which rows of a paper's table a study is to be compared with."""

    table: str
    """One of `equipoise.studies.results.published.tables`."""
    rows: dict[str, str] = Field(default_factory=dict)
    """What the other columns of its rows hold, where a table has several rows a method: `{model: resnet-18}`."""
    reference: dict[str, str] | None = None
    """The same for the rows whose single-task networks they are compared with; like `rows` by default."""

    @property
    def title(self) -> str:
        """For people: the table, and which rows of it."""
        rows = ", ".join(self.rows.values())
        return self.table.replace("_", " ") + (f" ({rows})" if rows else "")


class VariantConfig(BaseConfig):
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


SINGLE = "single"
"""What tables call the single-task networks."""


class Recipe(Experiment):
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
                raise ValueError(f"variant {variant.label!r}: {'; '.join(explanations(error, RunConfig))}") from error
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
        sources = {balancer.title: balancer.name for balancer in balancers if balancer.fixed_from is None}
        for balancer in balancers:
            if balancer.fixed_from is None:
                continue
            source = choose("fixed_from", balancer.fixed_from, sources)
            if not all_methods()[source].info.weighs:
                raise ValueError(
                    "`fixed_from` should be a balancer with loss weights. "
                    f"Found `fixed_from = {balancer.fixed_from!r}`, whose update is no weighted sum"
                )

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
        content = {name: getattr(self, name) for name in Experiment.model_fields}
        content |= {part: _merged(content[part], of_part) for part, of_part in changes.items()}
        # What a point does not change needs no second look: a grid may have many.
        there = Experiment.model_validate(content)
        found = {name: getattr(there, name) for name in Experiment.model_fields}
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
    if isinstance(base, WithOptions) and any(
        key in changes and changes[key] != getattr(base, key, None) for key in ("name", "architecture")
    ):
        content = {key: value for key, value in content.items() if key in type(base).model_fields}
    return content | dict(changes)
