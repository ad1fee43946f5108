"""Which balancing method, with which hyper-parameters."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from equipoise import balancing
from equipoise.config.grids import Grid, grid_points
from equipoise.config.strict import WithOptions
from equipoise.naming import choose, option_types


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
