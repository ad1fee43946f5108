"""A room: its shell, its objects and its lights."""

from dataclasses import dataclass, field

import numpy as np

from equipoise.data.rooms.materials import Palette
from equipoise.data.rooms.shapes import Model, Piece, Vector, box, rotation_about_z

Rectangle = tuple[float, float, float, float]
"""Left, right, front and back (x, x, y, y) on the floor, in metres."""


def overlap(first: Rectangle, second: Rectangle, margin: float = 0.0) -> bool:
    """Return whether two rectangles are closer to each other than `margin`."""
    return (
        first[0] < second[1] + margin
        and second[0] < first[1] + margin
        and first[2] < second[3] + margin
        and second[2] < first[3] + margin
    )


def footprint(width: float, depth: float, yaw: float, x: float, y: float) -> Rectangle:
    """Return the axis-aligned rectangle around an object of this size, turned by `yaw` and centred on (x, y)."""
    cosine, sine = abs(np.cos(yaw)), abs(np.sin(yaw))
    half_x, half_y = (width * cosine + depth * sine) / 2, (width * sine + depth * cosine) / 2
    return (x - half_x, x + half_x, y - half_y, y + half_y)


@dataclass
class Layout:
    """The occupied parts of the floor and the four walls of a room that is centred on the origin.

    Seen from the middle, wall k lies k quarter turns counter-clockwise from +y.

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
        """Return the length of a wall in metres."""
        return self.width if wall % 2 == 0 else self.depth

    def at_wall(self, wall: int, along: float, distance: float) -> tuple[float, float, float]:
        """Return x, y and yaw of a thing at this place along a wall (0 is its middle) and distance, facing the room."""
        yaw = wall * np.pi / 2
        out = (self.depth if wall % 2 == 0 else self.width) / 2 - distance
        return (np.cos(yaw) * along - np.sin(yaw) * out, np.sin(yaw) * along + np.cos(yaw) * out, yaw)

    def inside(self, rectangle: Rectangle, margin: float = 0.01) -> bool:
        """Return whether a rectangle lies within the room."""
        half_x, half_y = self.width / 2 - margin, self.depth / 2 - margin
        return -half_x <= rectangle[0] and rectangle[1] <= half_x and -half_y <= rectangle[2] and rectangle[3] <= half_y

    def floor_is_free(self, rectangle: Rectangle, margin: float) -> bool:
        """Return whether furniture may stand here, `margin` from everything else."""
        return (
            self.inside(rectangle)
            and not any(overlap(rectangle, other, margin) for other, _ in self.taken)
            and not any(overlap(rectangle, other) for other in self.kept_clear)
        )

    def wall_is_free(self, wall: int, start: float, stop: float, low: float, high: float) -> bool:
        """Return whether this part of a wall is free."""
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
        """Return the height of the tallest thing closer to (x, y) than `margin`; 0 if there is none."""
        here = (x, x, y, y)
        return max((height for rectangle, height in self.taken if overlap(here, rectangle, margin)), default=0.0)


@dataclass(frozen=True)
class Item:
    """An object in its place.

    Attributes:
        category: Name of its semantic class.
        pieces: Its parts in room coordinates.
        carrier: Instance number of the object it stands on, 0 for the room itself.
    """

    category: str
    pieces: tuple[Piece, ...]
    carrier: int


@dataclass(frozen=True)
class Light:
    """A small lamp, or a window.

    Attributes:
        position: Metres.
        colour: Intensity per colour channel.
        radius: Size in metres, which softens its shadows.
        facing: Direction in which a window shines; None shines everywhere.
    """

    position: Vector
    colour: Vector
    radius: float
    facing: Vector | None = None


class Scene:
    """A room with everything in it.

    Instance 0 is the room's structure; object k has instance number k + 1. Metres, z up, the origin on the floor in the
    middle of the room.

    Args:
        generator: The scene's random numbers.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator
        self.palette = Palette(generator)
        self.height = float(generator.uniform(2.4, 2.9))
        self.layout = Layout(float(generator.uniform(3.6, 6.0)), float(generator.uniform(3.4, 5.2)))
        self.shell: list[tuple[str, Piece]] = []
        self.items: list[Item] = []
        self.lights: list[Light] = []
        self._build_shell()

    def _build_shell(self) -> None:
        layout, palette, thickness = self.layout, self.palette, 0.1
        outer = (layout.width + 2 * thickness, layout.depth + 2 * thickness, thickness)
        self.shell.append(("floor", box("background", palette.floor(), outer, (0, 0, -thickness))))
        self.shell.append(("ceiling", box("background", palette.ceiling(), outer, (0, 0, self.height))))
        usual, other = palette.wall(), palette.wall()
        accent = int(self.generator.integers(-2, 4))
        skirting = palette.painted() if self.generator.random() < 0.7 else palette.wood()
        for wall in range(4):
            length = layout.wall_length(wall)
            material = other if wall == accent else usual
            slab = box("background", material, (length, thickness, self.height), (0, thickness / 2, 0))
            board = box("background", skirting, (length, 0.015, 0.07), (0, -0.0075, 0))
            x, y, yaw = layout.at_wall(wall, 0.0, 0.0)
            self.shell += [("wall", piece.placed(yaw, (x, y, 0))) for piece in (slab, board)]

    def add(self, model: Model, x: float, y: float, yaw: float, base: float = 0.0, carrier: int = 0) -> int:
        """Add a model to the room and return its instance number."""
        self.items.append(Item(model.category, tuple(p.placed(yaw, (x, y, base)) for p in model.pieces), carrier))
        if model.light is not None:
            self._add_light(model, x, y, yaw, base)
        return len(self.items)

    def _add_light(self, model: Model, x: float, y: float, yaw: float, base: float) -> None:
        assert model.light is not None
        warmth = self.generator.uniform(0.6, 0.85)
        if model.category == "window":
            inward = rotation_about_z(yaw) @ np.array([0.0, -1.0, 0.0])
            power = self.generator.uniform(6.0, 14.0)
            position = np.array([x, y, model.light]) + 0.2 * inward
            colour = (power * 0.92, power * 0.97, power * 1.05)
            self.lights.append(Light(tuple(position.tolist()), colour, 0.35, tuple(inward.tolist())))
            return
        hanging = base == 0.0 and model.light > 1.8
        power = self.generator.uniform(2.2, 4.2) if hanging else self.generator.uniform(0.25, 0.7)
        radius = 0.12 if hanging else 0.06
        self.lights.append(
            Light((x, y, base + model.light), (power, power * (0.5 + warmth / 2), power * warmth), radius)
        )
