"""Transforms put together for training and for evaluation."""

from equipoise.data.transforms import (
    ColourJitter,
    Compose,
    Normalize,
    Pad,
    RandomCrop,
    RandomHorizontalFlip,
    RandomScale,
)


def training(size: tuple[int, int]) -> Compose:
    """Return the augmentation of paper one, section IV: scale 0.5 to 2, crop, flip, colours, ImageNet's normalisation.

    Args:
        size: The height and width of the samples.
    """
    return Compose((RandomScale(0.5, 2.0), RandomCrop(size), RandomHorizontalFlip(), ColourJitter(), Normalize()))


def evaluation(size: tuple[int, int]) -> Compose:
    """Return what evaluation does: padding up to a size that the network can take, and normalisation.

    Args:
        size: The smallest height and width of the samples; larger ones stay as they are.
    """
    return Compose((Pad(size), Normalize()))
