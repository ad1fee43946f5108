"""A run, and what a run and a study have in common."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from equipoise import data
from equipoise._core.imports import UserModule, find, load
from equipoise.config.base import BaseConfig
from equipoise.config.parts import BalancerConfig, DataConfig, ModelConfig, TrainingConfig

Protocol = Literal["validation", "paper_one"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Experiment(BaseConfig):
    """The keys that a run and a study have in common."""

    imports: tuple[UserModule, ...] = Field(
        default=(), validation_alias="import", serialization_alias="import", exclude_if=lambda modules: not modules
    )
    """The user's modules that register what the other keys name: Python files and dotted names, see
    `equipoise._core.imports`. They are imported before the other keys are read, and again wherever the configuration
    is read or unpickled. Modules that other keys name as `module:Class` are added."""
    data: DataConfig
    tasks: tuple[str, ...] = Field(min_length=1)
    model: ModelConfig = Field(default_factory=ModelConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)

    @model_validator(mode="before")
    @classmethod
    def _import(cls, content: Any) -> Any:
        if not isinstance(content, Mapping):
            return content
        content = dict(content)
        # A recipe has the key `import`, which is no name in Python: there, modules that were found are `imports`.
        given = content.pop("import", ())
        if isinstance(found := content.get("imports"), tuple) and all(isinstance(one, UserModule) for one in found):
            given = content.pop("imports")
        return content | {"import": _import_all(given, _modules_of_classes(content))}

    @model_validator(mode="after")
    def _check_tasks(self) -> Self:
        active = self.data.tasks(self.tasks)
        if self.data.corrupt is not None:
            self.data.corrupt.check(self.data.tasks(), active)
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"each of `tasks` should occur once. Found `tasks = {list(self.tasks)}`")
        return self

    @model_validator(mode="after")
    def _check_augmentation(self) -> Self:
        if self.training.augmentation.transforms() and not data.dataset_class(self.data.name).augmentable:
            raise ValueError(
                f"random transforms of images make no sense for `{self.data.name}`: set "
                "`training.augmentation.flip: false` and leave the others out"
            )
        return self


class RunConfig(Experiment):
    """One training run, wholly described."""

    balancer: BalancerConfig
    seed: Seed = 0
    protocol: Protocol = "validation"
    """How the checkpoint is chosen. `validation`: on held-out training data, and the test split is read once.
    `paper_one`: on the test split, as in Guo et al. (2025)."""


def _import_all(given: Any, of_classes: Sequence[str]) -> tuple[UserModule, ...]:
    """Import the entries of the key `import`: strings of a recipe, or modules that an earlier reading has found."""
    entries = [given] if isinstance(given, str) else given
    if not isinstance(entries, list | tuple):
        raise _not_importable(given)
    found: dict[str, UserModule] = {}
    for entry in entries:
        module = _import_one(entry)
        if found.setdefault(module.name, module) != module:
            raise ValueError(
                f"the files in `import` should have different names. Found `{found[module.name].origin}` and "
                f"`{module.origin}`: rename one"
            )
    for name in of_classes:
        if name not in found:
            found[name] = find(name)
    return tuple(found.values())


def _import_one(entry: Any) -> UserModule:
    if isinstance(entry, str):
        return find(entry)
    if isinstance(entry, Mapping):
        try:
            entry = UserModule(**entry)
        except TypeError as error:
            raise _not_importable(dict(entry)) from error
    if not isinstance(entry, UserModule):
        raise _not_importable(entry)
    load(entry)
    return entry


def _not_importable(found: Any) -> ValueError:
    return ValueError(f"`import` should list Python files and names of modules. Found `{found!r}`")


def _modules_of_classes(content: Mapping[str, Any]) -> list[str]:
    """Return the modules of the classes that a configuration names as `module:Class`."""
    matches = (re.fullmatch(r"([A-Za-z_][\w.]*):[A-Za-z_]\w*", name) for name in _class_names(content))
    return list(dict.fromkeys(match[1] for match in matches if match is not None))


def _class_names(content: Mapping[str, Any]) -> Iterator[str]:
    for key in ("data", "model", "balancer", "balancers", "variants"):
        section = content.get(key)
        for part in section if isinstance(section, list | tuple) else [section]:
            if isinstance(part, str):
                yield part
            elif isinstance(part, Mapping):
                named = (part.get(key) for key in ("name", "architecture", "decoder"))
                yield from (name for name in named if isinstance(name, str))
                yield from _class_names(part)
