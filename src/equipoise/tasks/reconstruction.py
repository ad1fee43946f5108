"""Reconstruction: an image, such as the input itself or what it was made from."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from equipoise._core.registry import register
from equipoise.metrics import LabelledMSE
from equipoise.tasks.base import Task, at_least_float32, masked_mean, same_shape


@register("reconstruction")
@dataclass(frozen=True, kw_only=True)
class Reconstruction(Task):
    """An image; targets are float32 ``[C, H, W]``, normalised, infinite where unknown.

    Normalised means that ``mean`` was subtracted from values in [0, 1] and the difference divided by ``std``. Loss and
    metric are the mean squared error of normalised values, over all known values of the batch or the dataset (P2; with
    images of one size it is the mean over images). Nothing bounds predictions.

    Attributes:
        mean: The mean by which each channel was normalised; there are as many channels as entries.
        std: The deviations likewise.

    Raises:
        ValueError: ``mean`` and ``std`` do not go together, or a deviation is not positive.

    Examples:
        >>> task = Reconstruction(name="RL", mean=(0.1307,), std=(0.3081,))
        >>> task.loss(torch.zeros(1, 1, 1, 3), torch.tensor([[[[1.0, 2.0, math.inf]]]]))
        tensor(2.5000)
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    kind = "reconstruction"
    ignore: ClassVar[float | int] = math.inf
    metric = "mse"
    higher_is_better = False

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std):
            raise ValueError(
                f"`mean` and `std` should have one entry a channel. Found `mean = {self.mean}` and `std = {self.std}`."
            )
        if min(self.std) <= 0:
            raise ValueError(f"`std` should be above 0. Found `std = {self.std}`.")

    @property
    def channels(self) -> int:
        """The number of channels of the image."""
        return len(self.mean)

    def normalise(self, image: Tensor) -> Tensor:
        """Turn an image ``[C, H, W]`` with values in [0, 1] into a target."""
        return (image - self._channelwise(self.mean, image)) / self._channelwise(self.std, image)

    def valid(self, target: Tensor) -> Tensor:
        """Return which pixels are known: those without an infinite value, with one channel."""
        return target.isfinite().all(dim=-3, keepdim=True)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared error over the known pixels and their channels."""
        same_shape(prediction, target)
        valid = self.valid(target)
        return masked_mean((at_least_float32(prediction) - target.where(valid, 0)).square(), valid) / self.channels

    def metrics(self) -> dict[str, Metric]:
        """Return the mean squared error."""
        return {"mse": LabelledMSE()}

    def activate(self, prediction: Tensor) -> Tensor:
        """Return the prediction, normalised as it is."""
        return prediction

    def draw(self, target: Tensor) -> Tensor:
        """Return the image, grey where unknown; one channel in grey, the first three of several as red, green, blue."""
        image = target.detach().float().cpu()
        values = image * self._channelwise(self.std, image) + self._channelwise(self.mean, image)
        picture = (values.clamp(0, 1) * 255).round().to(torch.uint8).where(self.valid(image), 128)
        return picture[[min(channel, self.channels - 1) for channel in range(3)]]

    def from_map(self, values: Tensor) -> Tensor:
        """Return an image, bytes or numbers in [0, 1], normalised."""
        return self.normalise(super().from_map(values) / (255 if values.dtype == torch.uint8 else 1))

    def faults(self, target: Tensor) -> list[str]:
        """Return whether there are values that are neither finite nor marked as unknown."""
        wrong = (~target.isfinite() & (target != self.ignore)).sum().item()
        return [f"values should be finite, or {self.ignore} if unknown; found {wrong} that are not"] if wrong else []

    @staticmethod
    def _channelwise(values: tuple[float, ...], image: Tensor) -> Tensor:
        return image.new_tensor(values)[:, None, None]
