"""A room: its shell, its objects and its lights."""

from dataclasses import dataclass

import numpy as np

from equipoise.data.rooms.layout import Layout
from equipoise.data.rooms.materials import Palette
from equipoise.data.rooms.model import Model
from equipoise.data.rooms.shapes import Piece, Vector, box, rotation_about_z


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
        """Puts a model into the room and returns its instance number."""
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
