"""Surface normals: the direction that the surface at every pixel faces."""

import math
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric

from equipoise._core.registry import register
from equipoise.metrics import AngleWithin, AngularError, MedianAngle
from equipoise.metrics.targets import require_same_shape
from equipoise.tasks.base import UNLABELLED, Task, at_least_float32, masked_mean

_SHORTEST = 1e-6
"""Predictions shorter than this are not scaled to unit length. That bounds the gradient at a zero vector."""

_TOLERANCE = 0.01
"""The largest deviation from 1 of the length of a vector in a target: more than the rounding of float16."""

DIRECTIONS = 40
"""The number of categories of directions."""


@cache
def directions(count: int = DIRECTIONS) -> tuple[tuple[float, float, float], ...]:
    """Return unit vectors (x, y, z), spread evenly over the directions that face the camera (z < 0).

    They form a Fibonacci lattice. The i-th lies at `z = -(i + 1/2) / count`, so that all cover equal areas of the
    hemisphere, and is turned by the golden angle around the viewing axis from the one before.

    Example:
        >>> [tuple(round(value, 2) for value in direction) for direction in directions(2)]
        [(0.97, 0.0, -0.25), (-0.49, 0.45, -0.75)]
    """
    golden_angle = math.pi * (3 - math.sqrt(5))
    found = []
    for index in range(count):
        height = (index + 0.5) / count
        radius, angle = math.sqrt(1 - height**2), index * golden_angle
        found.append((radius * math.cos(angle), radius * math.sin(angle), -height))
    return tuple(found)


@register("surface_normals")
@dataclass(frozen=True, kw_only=True)
class SurfaceNormals(Task):
    """The direction of the surface. Targets are float32 `[3, H, W]` unit vectors, the zero vector where unknown.

    The coordinates are those of the camera: x to the right, y down, z forward. Visible surfaces face the camera: z < 0.

    The loss is the absolute difference of the unit vectors; the prediction is normalised first. Two forms are in use
    that differ by a factor of three, which changes the meaning of a loss weight. The public InvPT sums over the three
    components and divides by the number of known pixels. The public Multi-Task-Learning-PyTorch averages over
    components, too. Guo et al. (2025) do not say which form they use.

    Attributes:
        average_over: `"pixels"` for the first form, `"components"` for the second.

    Raises:
        ValueError: `average_over` is neither.

    Example:
        >>> task = SurfaceNormals(name="normals")
        >>> target = torch.tensor([0.0, 0.0, -1.0]).reshape(1, 3, 1, 1)
        >>> task.loss(torch.tensor([0.0, -5.0, 0.0]).reshape(1, 3, 1, 1), target)
        tensor(2.)
    """

    average_over: Literal["pixels", "components"] = "pixels"

    ignore: ClassVar[float | int] = 0
    metric = "merr"
    higher_is_better = False
    noise = 0.5

    def __post_init__(self) -> None:
        if self.average_over not in ("pixels", "components"):
            raise ValueError(
                f"`average_over` should be 'pixels' or 'components'. Found `average_over = {self.average_over!r}`."
            )

    @property
    def channels(self) -> int:
        """Three: x, y, z."""
        return 3

    @property
    def categories(self) -> int:
        """The number of `directions`."""
        return DIRECTIONS

    def categorise(self, target: Tensor) -> Tensor:
        """Return the nearest of 40 fixed `directions` for every pixel, int64 `[B, H, W]`, 255 where unknown.

        The public ATRC uses 40 cluster centres computed from each dataset. A fixed lattice needs no file and is the
        same for all datasets.
        """
        cosines = torch.einsum("nc,bchw->bnhw", target.new_tensor(directions()), target)
        return cosines.argmax(dim=1).where(self.valid(target).squeeze(1), UNLABELLED)

    def valid(self, target: Tensor) -> Tensor:
        """Return which pixels have a known direction, with one channel.

        A pixel is unknown if all components are zero. Some public code tests the sum of the components, which is zero
        for some known directions, too.
        """
        return (target != 0).any(dim=-3, keepdim=True)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean absolute difference of the unit vectors over the known pixels."""
        require_same_shape(prediction, target)
        unit = functional.normalize(at_least_float32(prediction), dim=1, eps=_SHORTEST)
        loss = masked_mean((unit - target).abs(), self.valid(target))
        return loss / self.channels if self.average_over == "components" else loss

    def metrics(self) -> dict[str, Metric]:
        """Return the mean and the median angle in degrees, and the percentages within 11.25, 22.5 and 30 degrees."""
        return {
            "merr": AngularError(),
            "median": MedianAngle(),
            "within_11": AngleWithin(11.25),
            "within_22": AngleWithin(22.5),
            "within_30": AngleWithin(30),
        }

    def activate(self, prediction: Tensor) -> Tensor:
        """Return the predictions as unit vectors."""
        return functional.normalize(at_least_float32(prediction), dim=1, eps=_SHORTEST)

    def corrupt(self, target: Tensor, strength: float, generator: torch.Generator) -> Tensor:
        """Return the directions with Gaussian noise of standard deviation `strength` on each component, of unit length.

        At 0.5, the mean angle between right and wrong directions is about 35 degrees.
        """
        wrong = target + torch.randn(target.shape, generator=generator) * strength
        # Ten times as fast as `normalize` along this axis. The sum of a unit vector and noise is never zero.
        return (wrong / wrong.square().sum(dim=-3, keepdim=True).sqrt()).where(self.valid(target), target)

    def flip(self, target: Tensor) -> Tensor:
        """Return the target of the mirror image: positions are mirrored, and the x component changes its sign."""
        mirrored = target.flip(-1)
        mirrored.select(-3, 0).neg_()
        return mirrored

    def flatten(self, target: Tensor, factor: float) -> Tensor:
        """Return the normals of the flattened scene: z is multiplied by `factor`, then the length is made 1 again.

        Normals transform by the inverse transpose of a linear map, and the map divides z by `factor`.
        """
        return functional.normalize(target * target.new_tensor([1, 1, factor])[:, None, None], dim=-3)

    def rotate(self, target: Tensor, degrees: float) -> Tensor:
        """Return the turned directions: x and y turn with the picture, z stays."""
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        x, y, z = target.unbind(-3)
        return torch.stack([x * cosine + y * sine, y * cosine - x * sine, z], dim=-3)

    def draw(self, target: Tensor) -> Tensor:
        """Return the directions as colours, black where unknown.

        As usual, red is right, green is up and blue is towards the camera, each from 0 (opposite) to 255.
        """
        normals = target.detach().float().cpu()
        right_up_towards = normals * torch.tensor([1.0, -1.0, -1.0])[:, None, None]
        picture = ((right_up_towards + 1) / 2 * 255).round().clamp(0, 255).to(torch.uint8)
        return picture.where(self.valid(normals), 0)

    def from_map(self, values: Tensor) -> Tensor:
        """Return unit vectors; bytes v become n = 2v/255 - 1. A vector shorter than one half is unknown."""
        vectors = super().from_map(values)
        if values.dtype == torch.uint8:
            vectors = vectors * (2 / 255) - 1
        length = vectors.norm(dim=0)
        return (vectors / length).where(length > 0.5, 0)

    def faults(self, target: Tensor) -> list[str]:
        """Return a fault if there are vectors that do not have unit length."""
        length = target.float().norm(dim=-3, keepdim=True)
        # Negated, so that NaN, for which every comparison is false, is counted.
        wrong = (self.valid(target) & ~((length - 1).abs() <= _TOLERANCE)).sum().item()
        return [f"normals should have length 1; found {wrong} pixels where they have not"] if wrong else []
