"""Hyper-parameters of methods. Each is a field of the class, with a rule and the source of its default.

    class AvgNorm(GradientBalancer):
        every: int = hyper(default=1, rule=at_least(1), source="Guo et al.: every step")

The constructor, its checks, the registry, the recipe schema, the command line and docs/methods.md follow from it.
"""

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from functools import cache
from numbers import Integral
from typing import Any, Literal, get_args, get_origin, get_type_hints

from equipoise._core.errors import require


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule for a value.

    Attributes:
        should: The rule in words. It completes "`name` should ...".
        holds: Function that says whether a value keeps the rule.
    """

    should: str
    holds: Callable[[Any], bool]

    def check(self, name: str, value: Any) -> None:
        """Refuse a value that breaks the rule.

        Raises:
            ValueError: The value breaks the rule. The message names argument and value.
        """
        try:
            valid = bool(self.holds(value))
        except TypeError:
            # The value has another type, such as a text in place of a number.
            valid = False
        require(valid, name, value, self.should)


class EachRule(Rule):
    """A rule for every value of a mapping, or for the value itself if it is no mapping."""

    def check(self, name: str, value: Any) -> None:
        """Refuse a mapping with a value that breaks the rule."""
        if not isinstance(value, Mapping):
            super().check(name, value)
            return
        for key, entry in value.items():
            super().check(f"{name}[{key!r}]", entry)


FINITE = Rule("be finite", lambda value: math.isfinite(value))
POSITIVE = Rule("be positive", lambda value: value > 0)
FINITE_POSITIVE = Rule("be positive and finite", lambda value: 0 < value < math.inf)
NON_NEGATIVE = Rule("be non-negative", lambda value: value >= 0)
FINITE_NON_NEGATIVE = Rule("be zero or more, and finite", lambda value: 0 <= value < math.inf)
SEED = Rule("be a whole number, zero or more", lambda value: isinstance(value, int) and value >= 0)


def at_least(least: float) -> Rule:
    """Return a rule for numbers with a lower bound."""
    return Rule(f"be at least {least}", lambda value: value >= least)


def within(low: float, high: float, *, ends: Literal["[]", "[)", "(]", "()"] = "[]") -> Rule:
    """Return a rule for numbers in an interval. `ends` says which of its ends belong to it."""

    def holds(value: float) -> bool:
        above = value >= low if ends[0] == "[" else value > low
        return above and (value <= high if ends[1] == "]" else value < high)

    return Rule(f"be in {ends[0]}{low:g}, {high:g}{ends[1]}", holds)


def each(rule: Rule) -> Rule:
    """Return the same rule for every value of a mapping."""
    return EachRule(rule.should, rule.holds)


def or_none(rule: Rule) -> Rule:
    """Return the same rule for a value that may also be None."""
    return Rule(f"{rule.should} or None", lambda value: value is None or rule.holds(value))


def hyper(
    *,
    default: Any = dataclasses.MISSING,
    rule: Rule | None = None,
    default_factory: Any = dataclasses.MISSING,
    source: str = "",
) -> Any:
    """Declare a hyper-parameter.

    Args:
        default: Default value. Leave it out if the user must give a value.
        rule: Rule for the values. A `Literal` type needs none.
        default_factory: Function that makes the default, in place of `default`.
        source: Source of the default: paper, section or code.
    """
    return dataclasses.field(
        default=default, default_factory=default_factory, metadata={"rule": rule, "source": source}
    )


@dataclasses.dataclass(frozen=True)
class HyperParameter:
    """A hyper-parameter of a method.

    Attributes:
        name: Name.
        type: Type, resolved.
        default: Default value; `dataclasses.MISSING` if the user must give one.
        rule: Rule for the values, or None.
        source: Source of the default; empty for the hyper-parameters that all methods take.
    """

    name: str
    type: Any
    default: Any
    rule: Rule | None
    source: str

    @property
    def required(self) -> bool:
        """Whether the user must give a value."""
        return self.default is dataclasses.MISSING


@cache
def hyper_parameters(method: type) -> Mapping[str, HyperParameter]:
    """Return the hyper-parameters of a method by name: its own first, then those that all methods take.

    Example:
        >>> import equipoise
        >>> hyper_parameters(equipoise.AvgNorm)["every"].default
        1
    """
    types = get_type_hints(method)
    # Readers look for a class's own options first.
    own = [inspect.get_annotations(base) for base in method.__mro__]
    order = {name: place for place, name in enumerate(dict.fromkeys(name for names in own for name in names))}
    fields = sorted((field for field in dataclasses.fields(method) if field.init), key=lambda field: order[field.name])
    return {
        field.name: HyperParameter(
            field.name,
            types[field.name],
            field.default if field.default_factory is dataclasses.MISSING else field.default_factory(),
            field.metadata.get("rule") or _choice(types[field.name]),
            field.metadata.get("source", ""),
        )
        for field in fields
    }


def check(method: Any) -> None:
    """Check the values of a method that was just constructed.

    Raises:
        ValueError: A value breaks its rule, or a field of whole numbers has another value.
    """
    for name, declared in hyper_parameters(type(method)).items():
        value = getattr(method, name)
        if declared.type is int or (declared.type == int | None and value is not None):
            require(isinstance(value, Integral), name, value, "be a whole number")
        if declared.rule is not None:
            declared.rule.check(name, value)


def _choice(kind: Any) -> Rule | None:
    if get_origin(kind) is not Literal:
        return None
    choices = get_args(kind)
    return Rule(f"be one of {', '.join(map(str, choices))}", lambda value: value in choices)
