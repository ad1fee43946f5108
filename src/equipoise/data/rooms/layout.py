"""Where things go: floor rectangles and wall spans that are still free."""

from dataclasses import dataclass, field

import numpy as np

Rectangle = tuple[float, float, float, float]
"""Left, right, front and back (x, x, y, y) on the floor, in metres."""


def overlap(first: Rectangle, second: Rectangle, margin: float = 0.0) -> bool:
    """Whether two rectangles come nearer to each other than `margin`."""
    return (
        first[0] < second[1] + margin
        and second[0] < first[1] + margin
        and first[2] < second[3] + margin
        and second[2] < first[3] + margin
    )


def footprint(width: float, depth: float, yaw: float, x: float, y: float) -> Rectangle:
    """The axis-aligned rectangle around an object of this size, turned by `yaw` and centred on (x, y)."""
    cosine, sine = abs(np.cos(yaw)), abs(np.sin(yaw))
    half_x, half_y = (width * cosine + depth * sine) / 2, (width * sine + depth * cosine) / 2
    return (x - half_x, x + half_x, y - half_y, y + half_y)


@dataclass
class Layout:
    """What is taken of the floor and of the four walls of a room centred on the origin.

    Wall k is the one that somebody in the middle sees after turning k quarter turns counter-clockwise from +y.

    Attributes:
        width: Size of the room along x in metres.
        depth: Size of the room along y in metres.
        taken: Floor rectangles of furniture, each with its height.
        kept_clear: Floor rectangles where nothing may stand (in front of doors).
        spans: Taken parts of walls: wall, from, to, lower and upper height.
    """

    width: float
    depth: float
    taken: list[tuple[Rectangle, float]] = field(default_factory=list)
    kept_clear: list[Rectangle] = field(default_factory=list)
    spans: list[tuple[int, float, float, float, float]] = field(default_factory=list)

    def wall_length(self, wall: int) -> float:
        """Length of a wall in metres."""
        return self.width if wall % 2 == 0 else self.depth

    def at_wall(self, wall: int, along: float, distance: float) -> tuple[float, float, float]:
        """x, y and yaw of something `along` from a wall's middle, at this distance from the wall, facing the room."""
        yaw = wall * np.pi / 2
        out = (self.depth if wall % 2 == 0 else self.width) / 2 - distance
        return (np.cos(yaw) * along - np.sin(yaw) * out, np.sin(yaw) * along + np.cos(yaw) * out, yaw)

    def inside(self, rectangle: Rectangle, margin: float = 0.01) -> bool:
        """Whether a rectangle lies within the room."""
        half_x, half_y = self.width / 2 - margin, self.depth / 2 - margin
        return -half_x <= rectangle[0] and rectangle[1] <= half_x and -half_y <= rectangle[2] and rectangle[3] <= half_y

    def floor_is_free(self, rectangle: Rectangle, margin: float) -> bool:
        """Whether furniture may stand here, `margin` from everything else."""
        return (
            self.inside(rectangle)
            and not any(overlap(rectangle, other, margin) for other, _ in self.taken)
            and not any(overlap(rectangle, other) for other in self.kept_clear)
        )

    def wall_is_free(self, wall: int, start: float, stop: float, low: float, high: float) -> bool:
        """Whether this part of a wall is free."""
        half = self.wall_length(wall) / 2 - 0.05
        return (
            -half <= start
            and stop <= half
            and not any(
                other == wall and start < to and begin < stop and low < upper and lower < high
                for other, begin, to, lower, upper in self.spans
            )
        )

    def height_near(self, x: float, y: float, margin: float) -> float:
        """Height of the tallest thing that stands nearer to (x, y) than `margin`, 0 without one."""
        here = (x, x, y, y)
        return max((height for rectangle, height in self.taken if overlap(here, rectangle, margin)), default=0.0)
