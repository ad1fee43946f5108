"""Hyper-parameters of methods: declared once, as fields of the class, with their rule and the source of their default.

    class AvgNorm(GradientBalancer):
        every: int = hyper(default=1, rule=at_least(1), source="Guo et al.: every step")

The constructor, its checks, the registry, the schema of recipes, the command line and docs/methods.md follow from that.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from equipoise._core.errors import require


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule for a value.

    Attributes:
        should: The rule in words, completing "`name` should ...".
        holds: Whether a value keeps it.
    """

    should: str
    holds: Callable[[Any], bool]

    def check(self, name: str, value: Any) -> None:
        """Refuse a value that breaks the rule.

        Raises:
            ValueError: It does; the message names the value.
        """
        try:
            kept = bool(self.holds(value))
        except TypeError:
            # A text where a number belongs.
            kept = False
        require(kept, name, value, self.should)


class EachRule(Rule):
    """A rule for every value of a mapping, or for the value itself where it is none."""

    def check(self, name: str, value: Any) -> None:
        """Refuse a mapping with a value that breaks the rule."""
        if not isinstance(value, Mapping):
            super().check(name, value)
            return
        for key, entry in value.items():
            super().check(f"{name}[{key!r}]", entry)


POSITIVE = Rule("be positive", lambda value: value > 0)
FINITE_POSITIVE = Rule("be positive and finite", lambda value: 0 < value < math.inf)
NON_NEGATIVE = Rule("be non-negative", lambda value: value >= 0)
FINITE_NON_NEGATIVE = Rule("be zero or more, and finite", lambda value: 0 <= value < math.inf)
SEED = Rule("be a whole number, zero or more", lambda value: isinstance(value, int) and value >= 0)


def at_least(least: float) -> Rule:
    """A rule for numbers with a lower bound."""
    return Rule(f"be at least {least}", lambda value: value >= least)


def within(low: float, high: float, *, ends: Literal["[]", "[)", "(]", "()"] = "[]") -> Rule:
    """A rule for numbers in an interval; `ends` says which of its ends belong to it."""

    def holds(value: float) -> bool:
        above = value >= low if ends[0] == "[" else value > low
        return above and (value <= high if ends[1] == "]" else value < high)

    return Rule(f"be in {ends[0]}{low:g}, {high:g}{ends[1]}", holds)


def each(rule: Rule) -> Rule:
    """The same rule for every value of a mapping."""
    return EachRule(rule.should, rule.holds)


def or_none(rule: Rule) -> Rule:
    """The same rule for a value that may also be None."""
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
        default: Its default; left out for one that must be given.
        rule: A rule for its values. A `Literal` type is a rule of its own.
        default_factory: Makes the default, in place of `default`.
        source: Where the default comes from: paper, section or code.
    """
    return dataclasses.field(
        default=default, default_factory=default_factory, metadata={"rule": rule, "source": source}
    )


@dataclasses.dataclass(frozen=True)
class HyperParameter:
    """A hyper-parameter of a method.

    Attributes:
        name: Its name.
        type: Its type, resolved.
        default: Its default; `dataclasses.MISSING` if it must be given.
        rule: The rule for its values, if there is one.
        source: Where the default comes from; empty for what all methods take.
    """

    name: str
    type: Any
    default: Any
    rule: Rule | None
    source: str

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is dataclasses.MISSING


@cache
def hyper_parameters(method: type) -> Mapping[str, HyperParameter]:
    """The hyper-parameters of a method by name: its own first, then those that all methods take.

    Example:
        >>> import equipoise
        >>> hyper_parameters(equipoise.AvgNorm)["every"].default
        1
    """
    types = get_type_hints(method)
    # A class's own options are what somebody looks for first.
    own = [vars(base).get("__annotations__", {}) for base in method.__mro__]
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
        ValueError: A value breaks its rule.
    """
    for name, declared in hyper_parameters(type(method)).items():
        if declared.rule is not None:
            declared.rule.check(name, getattr(method, name))


def _choice(kind: Any) -> Rule | None:
    if get_origin(kind) is not Literal:
        return None
    choices = get_args(kind)
    return Rule(f"be one of {', '.join(map(str, choices))}", lambda value: value in choices)
