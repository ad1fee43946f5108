"""The commands that make a study, or one row of its table, again."""

import re
import shlex
from collections.abc import Sequence
from typing import Any

import yaml

from equipoise.config import SINGLE, BalancerConfig, Recipe, VariantConfig
from equipoise.studies.results.study import RECIPE


def study_command() -> str:
    """Return the command that makes the whole study."""
    return shlex.join(["equipoise", "bench", RECIPE])


def row_command(recipe: Recipe, variant: str | None, method: str) -> str:
    """Return the command that makes the runs of one method and the single-task networks that it is compared with.

    The command makes a study of its own, so that it does not overwrite the tables of this one. Runs that belong to both
    studies are made once.

    Args:
        recipe: The recipe of the study.
        variant: The label of the variant; `None` without variants.
        method: The label of the method; `single` for the single-task networks, which come with any method.
    """
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", "-".join(filter(None, (recipe.name, variant, method)))).strip("-")
    changes = {"name": name}
    if variant is None:
        changes["balancers"] = _yaml(_needed(recipe.balancers, method))
    else:
        changes["variants"] = _yaml(_variants(recipe, variant, method))
    return shlex.join(["equipoise", "bench", RECIPE, *(f"{key}={value}" for key, value in changes.items())])


def _variants(recipe: Recipe, label: str, method: str) -> list[VariantConfig]:
    """Return a variant and its reference, whose single-task networks it is compared with, with one method each."""
    known = {variant.label: variant for variant in recipe.variants}
    chosen = known[label]
    return [
        known[name].model_copy(
            update={"balancers": tuple(_needed(known[name].balancers or recipe.balancers, method)), "published": None}
        )
        for name in dict.fromkeys((chosen.reference or label, label))
    ]


def _needed(balancers: Sequence[BalancerConfig], method: str) -> list[BalancerConfig]:
    """Return a method, after the one whose weights it takes; for single-task networks any that needs no other."""
    by_title = {balancer.title: balancer for balancer in balancers}
    first = next(balancer for balancer in balancers if balancer.fixed_from is None)
    chosen = first if method == SINGLE else by_title.get(method, first)
    return [chosen] if chosen.fixed_from is None else [by_title[chosen.fixed_from], chosen]


def _yaml(configs: Sequence[BalancerConfig | VariantConfig]) -> str:
    """Return YAML on one line, without defaults."""
    content: Any = [config.model_dump(mode="json", exclude_defaults=True) for config in configs]
    return yaml.safe_dump(
        content, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False
    ).strip()
