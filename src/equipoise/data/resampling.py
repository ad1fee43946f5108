"""Brings what a dataset reads to another size before it is kept, so that less is kept; between pixel centres.

Images are averaged, labels never mixed. For transforms of samples see :mod:`equipoise.data.transforms`.
"""

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import InterpolationMode, resize


def resample_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Return an image, uint8 ``[3, H, W]``, at another (height, width): bilinear, averaging where it shrinks."""
    return resize(image, list(size), interpolation=InterpolationMode.BILINEAR, antialias=True)


def resample_labels(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Return labels of any type, ``[..., H, W]``, at another (height, width): those of the nearest pixel.

    Examples:
        >>> resample_labels(torch.arange(12).reshape(1, 12), (1, 3))
        tensor([[ 2,  6, 10]])
    """
    rows, columns = (
        ((torch.arange(wanted) + 0.5) * length / wanted).floor().long()
        for wanted, length in zip(size, labels.shape[-2:], strict=True)
    )
    return labels[..., rows, :][..., columns]


def centre_crop(values: Tensor, side: int) -> Tensor:
    """Return the square of the given side from the middle of ``[..., H, W]``."""
    top, left = ((length - side) // 2 for length in values.shape[-2:])
    return values[..., top : top + side, left : left + side]
