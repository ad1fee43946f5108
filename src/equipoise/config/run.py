"""What a run and a study have in common: data, tasks, network and training, seen together."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from equipoise import data
from equipoise.config.base import BaseConfig
from equipoise.config.parts import BalancerConfig, DataConfig, ModelConfig, TrainingConfig

Protocol = Literal["validation", "paper_one"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Experiment(BaseConfig):
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


class RunConfig(Experiment):
    """One training run, wholly described."""

    balancer: BalancerConfig
    seed: Seed = 0
    protocol: Protocol = "validation"
    """`validation`: the checkpoint is chosen on held-out training data, and the test split read once. `paper_one`: the
    checkpoint is chosen on the test split."""
