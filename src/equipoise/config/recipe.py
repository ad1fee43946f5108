"""A recipe: the networks that a study trains and compares."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from equipoise._core.text import choose, unknown
from equipoise.balancing import all_methods
from equipoise.config.base import BaseConfig, ClassConfig, Grid, explain, grid_points
from equipoise.config.parts import BalancerConfig
from equipoise.config.run import Experiment, Protocol, RunConfig, Seed

SINGLE = "single"
"""The title of single-task networks in tables."""


class PublishedConfig(BaseConfig):
    """The rows of a paper's table that a study is compared with."""

    table: str
    """One of `equipoise.studies.results.published.tables`."""
    rows: dict[str, str] = Field(default_factory=dict)
    """Values of the other columns, where the table has several rows per method: `{model: resnet-18}`."""
    reference: dict[str, str] | None = None
    """The same for the rows that hold the single-task networks; like `rows` by default."""

    @property
    def title(self) -> str:
        """The table and its rows, for people."""
        rows = ", ".join(self.rows.values())
        return self.table.replace("_", " ") + (f" ({rows})" if rows else "")


class VariantConfig(BaseConfig):
    """A variant of a study: what differs from the recipe, such as the network or the amount of data.

    The keys of `data`, `model` and `training`, and `tasks`, replace the recipe's. A variant that names another dataset
    or architecture takes over none of the recipe's options for it.
    """

    label: str = Field(min_length=1)
    reference: str | None = None
    """The variant whose single-task networks its delta_m refers to; itself if left out."""
    tasks: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Some of the recipe's tasks; all of them if left out."""
    data: dict[str, Any] = Field(default_factory=dict)
    model: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    balancers: tuple[BalancerConfig, ...] | None = Field(default=None, min_length=1)
    """The balancing methods; those of the recipe if left out."""
    published: PublishedConfig | None = None
    """The rows of a paper's table to compare with."""


class Recipe(Experiment):
    """A study: data, tasks, networks and balancing methods to train and compare."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    description: str = ""
    balancers: tuple[BalancerConfig, ...] = Field(min_length=1)
    variants: tuple[VariantConfig, ...] = ()
    """Further comparisons; every variant trains its own single-task networks and all methods."""
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    published: PublishedConfig | None = None
    """The rows of a paper's table to compare with; in a study with variants, each variant names its own."""
    grid: Grid = Field(default_factory=dict)
    """Values to try of keys such as `training.learning_rate`, for every method and every single-task network."""
    grid_seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    """The seeds of the trials of a grid."""
    protocol: Literal["validation", "paper_one", "paper_two"] = "validation"
    """As in a run; or `paper_two`, as in Gama & Grassi (2025): hyper-parameters and checkpoints are chosen on
    validation, and the chosen hyper-parameters run once per seed."""

    @property
    def run_protocol(self) -> Protocol:
        """The protocol by which each run chooses its checkpoint."""
        return "validation" if self.protocol == "paper_two" else self.protocol

    @property
    def published_rows(self) -> dict[str | None, PublishedConfig]:
        """The published rows to compare with, by variant; only variants that name some."""
        named = {variant.label: variant.published for variant in self.variants} or {None: self.published}
        return {label: published for label, published in named.items() if published is not None}

    @model_validator(mode="after")
    def _check(self) -> Self:
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
                raise ValueError(f"variant {variant.label!r}: {'; '.join(explain(error, RunConfig))}") from error
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
        """Return the recipe at a point of its grid.

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
        # The whole recipe is not validated again: a grid may have many points.
        there = Experiment.model_validate(content)
        found = {name: getattr(there, name) for name in Experiment.model_fields}
        return self.model_copy(update=found | {"grid": {}, "variants": ()})

    def variant(self, variant: VariantConfig) -> "Recipe":
        """Return the recipe of a variant; it has no variants itself.

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
    """Return a section of a recipe with some keys changed.

    If the changes name another class, the options of the former one are left out.
    """
    content = base.model_dump(exclude_unset=True)
    if isinstance(base, ClassConfig) and any(
        key in changes and changes[key] != getattr(base, key, None) for key in ("name", "architecture")
    ):
        content = {key: value for key, value in content.items() if key in type(base).model_fields}
    return content | dict(changes)
