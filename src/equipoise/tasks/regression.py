"""Regression: one number for the whole input."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from equipoise._core.errors import require
from equipoise._core.registry import register
from equipoise.metrics import AbsoluteError
from equipoise.metrics.targets import require_same_shape
from equipoise.tasks.base import Task, at_least_float32, masked_mean
from equipoise.tasks.drawing import text_image


@register("regression")
@dataclass(frozen=True, kw_only=True)
class Regression(Task):
    """One number for the whole input. A target is float32 `[1]`, standardised, infinite where unknown.

    Standardised means that `mean` is subtracted and the difference divided by `std`, so that tasks with different units
    have losses of similar size. The loss is the mean squared error of standardised numbers. The metric is the mean
    absolute error in the original unit (Gama & Grassi (2025)).

    Attributes:
        mean: The mean of the numbers over the data, in their own unit.
        std: Their standard deviation.
        scale: The factor of the metric and of numbers in pictures, if their unit is not that of `mean` and `std`: 1000
            for meV from eV.
        unit: The name of the unit after scaling, for pictures.

    Raises:
        ValueError: `std` or `scale` is not positive.

    Example:
        >>> task = Regression(name="gap", mean=6.0, std=2.0, scale=1000, unit="meV")
        >>> target = task.standardise(torch.tensor([[7.0], [math.inf]]))
        >>> task.loss(torch.tensor([[1.5], [9.0]]), target)
        tensor(1.)
        >>> metric = task.metrics()["mae"]
        >>> metric.update(torch.tensor([[1.5], [9.0]]), target)
        >>> metric.compute()
        tensor(2000.)
    """

    mean: float = 0.0
    std: float = 1.0
    scale: float = 1.0
    unit: str = ""

    # Any finite number may be a label.
    ignore: ClassVar[float | int] = math.inf
    metric = "mae"
    higher_is_better = False
    dense = False

    def __post_init__(self) -> None:
        for argument, value in (("std", self.std), ("scale", self.scale)):
            require(value > 0, argument, value, "be above 0")

    @property
    def channels(self) -> int:
        """One."""
        return 1

    def standardise(self, values: Tensor) -> Tensor:
        """Return numbers in their own unit (before `scale`) as targets, float32."""
        return ((values.double() - self.mean) / self.std).float()

    def valid(self, target: Tensor) -> Tensor:
        """Return which numbers are known: finite ones."""
        return target.isfinite()

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared error over the known numbers, both `[B, 1]` and standardised."""
        require_same_shape(prediction, target)
        valid = self.valid(target)
        # Infinite targets are replaced before the difference: no mask would stop their gradient.
        return masked_mean((at_least_float32(prediction) - target.where(valid, 0)).square(), valid)

    def metrics(self) -> dict[str, Metric]:
        """Return the mean absolute error, in the original unit times `scale`."""
        return {"mae": AbsoluteError(factor=self.std * self.scale)}

    def activate(self, prediction: Tensor) -> Tensor:
        """Return the prediction, which is standardised."""
        return prediction

    def draw(self, target: Tensor) -> Tensor:
        """Return a picture of the number, in the original unit times `scale`."""
        value = (target.item() * self.std + self.mean) * self.scale
        return text_image(f"{value:.5g} {self.unit}" if math.isfinite(value) else "")

    def from_text(self, text: str) -> Tensor:
        """Return the number, standardised."""
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"a label of `{self.name}` should be finite. Found {text!r}")
        return self.standardise(torch.tensor([value], dtype=torch.float64))

    def faults(self, target: Tensor) -> list[str]:
        """Return a fault if the number is neither finite nor marked as unknown."""
        wrong = not (target.isfinite() | (target == self.ignore)).all()
        return [f"a number should be finite, or {self.ignore} if unknown; found {target.item()}"] if wrong else []
