"""Reconstruction: an image, such as the input itself or an image from which it was made."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from equipoise._core.errors import require
from equipoise._core.registry import register
from equipoise.metrics import LabelledMSE
from equipoise.metrics.targets import require_same_shape
from equipoise.tasks.base import Task, at_least_float32, masked_mean


@register("reconstruction")
@dataclass(frozen=True, kw_only=True)
class Reconstruction(Task):
    """An image. Targets are float32 `[C, H, W]`, normalised, infinite where unknown.

    Normalised means that `mean` is subtracted from values in [0, 1] and the difference divided by `std`. Loss and
    metric are the mean squared error of normalised values, over all known values of the batch or the dataset
    (Gama & Grassi (2025); for images of one size it is the mean over images). Predictions are not bounded.

    Attributes:
        mean: The mean of each channel. The image has as many channels as there are entries.
        std: The standard deviation of each channel.

    Raises:
        ValueError: `mean` and `std` differ in length or are empty, or a deviation is not positive.

    Example:
        >>> task = Reconstruction(name="RL", mean=(0.1307,), std=(0.3081,))
        >>> task.loss(torch.zeros(1, 1, 1, 3), torch.tensor([[[[1.0, 2.0, math.inf]]]]))
        tensor(2.5000)
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    ignore: ClassVar[float | int] = math.inf
    metric = "mse"
    higher_is_better = False

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std):
            raise ValueError(
                "`mean` and `std` should have one entry for each channel. "
                f"Found `mean = {self.mean}` and `std = {self.std}`."
            )
        require(min(self.std) > 0, "std", self.std, "be above 0")

    @property
    def channels(self) -> int:
        """The number of channels of the image."""
        return len(self.mean)

    def normalise(self, image: Tensor) -> Tensor:
        """Return an image `[C, H, W]` with values in [0, 1] as a target."""
        return (image - self._channelwise(self.mean, image)) / self._channelwise(self.std, image)

    def valid(self, target: Tensor) -> Tensor:
        """Return which pixels are known, with one channel: those whose values are all finite."""
        return target.isfinite().all(dim=-3, keepdim=True)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared error over the known pixels and their channels."""
        require_same_shape(prediction, target)
        valid = self.valid(target)
        return masked_mean((at_least_float32(prediction) - target.where(valid, 0)).square(), valid) / self.channels

    def metrics(self) -> dict[str, Metric]:
        """Return the mean squared error."""
        return {"mse": LabelledMSE()}

    def activate(self, prediction: Tensor) -> Tensor:
        """Return the prediction, which is normalised."""
        return prediction

    def draw(self, target: Tensor) -> Tensor:
        """Return the image, grey where unknown: one channel as grey, the first three of several as red, green, blue."""
        image = target.detach().float().cpu()
        values = image * self._channelwise(self.std, image) + self._channelwise(self.mean, image)
        picture = (values.clamp(0, 1) * 255).round().to(torch.uint8).where(self.valid(image), 128)
        return picture[[min(channel, self.channels - 1) for channel in range(3)]]

    def from_map(self, values: Tensor) -> Tensor:
        """Return an image of bytes, or of numbers in [0, 1], normalised."""
        return self.normalise(super().from_map(values) / (255 if values.dtype == torch.uint8 else 1))

    def faults(self, target: Tensor) -> list[str]:
        """Return a fault if there are values that are neither finite nor marked as unknown."""
        wrong = (~target.isfinite() & (target != self.ignore)).sum().item()
        return [f"values should be finite, or {self.ignore} if unknown; found {wrong} that are not"] if wrong else []

    @staticmethod
    def _channelwise(values: tuple[float, ...], image: Tensor) -> Tensor:
        return image.new_tensor(values)[:, None, None]
