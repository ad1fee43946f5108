"""Transforms of the image alone."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from equipoise.data.core.sample import IMAGENET_MEAN, IMAGENET_STD, Sample
from equipoise.data.transforms.compose import chance, check_probability, colour, uniform
from equipoise.tasks import Task


@dataclass(frozen=True)
class Normalize:
    """Subtracts the mean of each channel of the image and divides by its deviation; those of ImageNet by default.

    Attributes:
        mean: The mean of every channel, for images in [0, 1].
        std: The standard deviation of every channel.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the sample with its image normalised."""
        image = sample["image"]
        return {**sample, "image": (image - colour(self.mean, image)).div_(colour(self.std, image))}


@dataclass(frozen=True)
class ColourJitter:
    """Changes brightness, contrast, saturation and hue of the image in random order, by torchvision.

    Apply it before `Normalize`, to values in [0, 1].

    Attributes:
        brightness: The factor is drawn from [1 - brightness, 1 + brightness].
        contrast: Likewise.
        saturation: Likewise.
        hue: The shift is drawn from [-hue, hue], as a share of the full circle of colours. The default is 18 of
            OpenCV's 180 steps, as in the public recipes.

    Raises:
        ValueError: A value is negative, or `hue` is above 0.5.
    """

    brightness: float = 0.125
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 0.1

    def __post_init__(self) -> None:
        v2.ColorJitter(self.brightness, self.contrast, self.saturation, self.hue)

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the sample with other colours."""
        jitter = v2.ColorJitter(self.brightness, self.contrast, self.saturation, self.hue)
        return {**sample, "image": jitter(sample["image"])}


@dataclass(frozen=True)
class PhotometricDistortion:
    """The colour changes of the public recipes for dense prediction, each applied with a probability.

    The changes, in order: a constant in [-32, 32] / 255 is added to all channels; all are multiplied by a factor in
    [0.5, 1.5] (here or at the end, equally often); the saturation of the HSV cone is multiplied by a factor in
    [0.5, 1.5]; the hue is shifted by up to a tenth of the circle to either side. Values are clipped to [0, 1] after
    each change.

    torchvision's `RandomPhotometricDistort` differs: its brightness is a factor, its contrast and saturation mix with
    grey, and it permutes channels. The public code works on 8 bits and truncates after each change; here nothing is
    rounded. Apply it before `Normalize`, to values in [0, 1].

    Attributes:
        probability: The probability of each of the four changes.

    Raises:
        ValueError: `probability` is outside [0, 1].
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.probability)

    def __call__(self, sample: Sample, tasks: Mapping[str, Task]) -> Sample:
        """Return the sample with other colours."""
        image = sample["image"]
        if chance(self.probability):
            image = (image + uniform(-32 / 255, 32 / 255)).clamp(0, 1)
        contrast = uniform(0.5, 1.5) if chance(self.probability) else 1.0
        contrast_first = chance(0.5)
        if contrast_first:
            image = (image * contrast).clamp(0, 1)
        if chance(self.probability):
            image = saturate(image, uniform(0.5, 1.5))
        if chance(self.probability):
            image = functional.adjust_hue(image, uniform(-0.1, 0.1))
        if not contrast_first:
            image = (image * contrast).clamp(0, 1)
        return {**sample, "image": image}


def saturate(image: Tensor, factor: float) -> Tensor:
    """Multiply the saturation of the HSV cone by a factor, at most to 1; hue and value stay.

    Saturation is the distance of the smallest channel from the largest as a share of the largest. Multiplying the
    distances of all channels by one number multiplies the saturation and keeps hue and value, so no conversion to HSV
    is needed.

    Example:
        >>> import torch
        >>> saturate(torch.tensor([0.8, 0.6, 0.4]).reshape(3, 1, 1), 1.5).flatten()
        tensor([0.8000, 0.5000, 0.2000])
        >>> saturate(torch.tensor([0.8, 0.6, 0.4]).reshape(3, 1, 1), 9.0).flatten()
        tensor([0.8000, 0.4000, 0.0000])
    """
    value = image.amax(dim=-3, keepdim=True)
    distance = value - image
    # If all channels are equal, every factor leaves them so.
    most = value / distance.amax(dim=-3, keepdim=True).clamp(min=1e-12)
    return (value - distance * most.clamp(max=factor)).clamp(0, 1)
