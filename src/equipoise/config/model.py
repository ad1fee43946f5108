"""Which network."""

from collections.abc import Mapping
from typing import Any

from pydantic import model_validator

from equipoise import models
from equipoise.config.strict import WithOptions


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
