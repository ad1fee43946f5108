"""The furnishing of a room: doors, windows, furniture, small things, lamps and pictures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from equipoise.data.rooms import furniture, things
from equipoise.data.rooms.materials import Palette
from equipoise.data.rooms.scene import Scene, footprint, overlap
from equipoise.data.rooms.shapes import Model, Surface, rotation_about_z


def fit_doors_and_windows(scene: Scene) -> None:
    """Add one or two doors, which stay accessible, and one or two windows, some with curtains."""
    random = scene.generator
    for _ in range(int(random.integers(1, 3))):
        _on_wall(scene, things.door(scene.palette), [0, 1, 2, 3], 0.0, clear=0.8)
    first = int(random.integers(4))
    walls = [first, (first + 1) % 4]
    for _ in range(int(random.integers(1, 3))):
        window = things.window(scene.palette, scene.height)
        place = _on_wall(scene, window, walls, 0.7)
        if place is not None and random.random() < 0.5:
            _hang_curtains(scene, place[0], place[1], window)


def hang_lamps_and_pictures(scene: Scene) -> None:
    """Add lamps at the ceiling, and pictures where the furniture leaves space."""
    random, layout = scene.generator, scene.layout
    lamps = 1 if layout.width * layout.depth < 18 else int(random.integers(1, 3))
    lamp = things.ceiling_lamp(scene.palette, scene.height)
    for k in range(lamps):
        across = 0.0 if lamps == 1 else (k - 0.5) * layout.width * 0.5
        scene.add(lamp, across + random.normal(0.0, 0.15), random.normal(0.0, 0.15), 0.0)
    for _ in range(int(random.integers(3, 7))):
        width, height = random.uniform(0.3, 0.9), random.uniform(0.3, 0.7)
        base = random.uniform(1.25, 1.5)
        _on_wall(scene, things.picture(scene.palette, width, height, base), [0, 1, 2, 3], base - 0.05)


def _on_wall(scene: Scene, model: Model, walls: list[int], low: float, clear: float = 0.0) -> tuple[int, float] | None:
    """Fix a model at a free place of one of these walls. Return the wall and the place along it."""
    half = model.size[0] / 2
    for _ in range(30):
        wall = walls[int(scene.generator.integers(len(walls)))]
        reach = scene.layout.wall_length(wall) / 2 - half - 0.1
        if reach <= 0:
            continue
        along = float(scene.generator.uniform(-reach, reach))
        if not scene.layout.wall_is_free(wall, along - half - 0.08, along + half + 0.08, low, model.size[2]):
            continue
        x, y, yaw = scene.layout.at_wall(wall, along, 0.0)
        scene.layout.spans.append((wall, along - half, along + half, low, model.size[2]))
        if clear:
            centre_x, centre_y, _ = scene.layout.at_wall(wall, along, clear / 2)
            scene.layout.kept_clear.append(footprint(model.size[0], clear, yaw, centre_x, centre_y))
        scene.add(model, x, y, yaw)
        return wall, along
    return None


def _hang_curtains(scene: Scene, wall: int, along: float, window: Model) -> None:
    width, top = 0.38, min(window.size[2] + 0.12, scene.height - 0.05)
    for side in (-1, 1):
        middle = along + side * (window.size[0] / 2 + 0.05)
        start, stop = middle - width / 2, middle + width / 2
        inner = [span for span in scene.layout.spans if span[0] == wall and abs(span[1] + span[2] - 2 * along) > 1e-6]
        if abs(middle) + width / 2 > scene.layout.wall_length(wall) / 2 - 0.25 or any(
            start < to and begin < stop for _, begin, to, _, _ in inner
        ):
            continue
        x, y, yaw = scene.layout.at_wall(wall, middle, 0.0)
        scene.add(things.curtain(scene.palette, width, top), x, y, yaw)
        scene.layout.spans.append((wall, start, stop, 0.0, top))
        centre_x, centre_y, _ = scene.layout.at_wall(wall, middle, 0.1)
        scene.layout.taken.append((footprint(width, 0.2, yaw, centre_x, centre_y), top))


Builder = Callable[[Palette], Model]


@dataclass(frozen=True)
class Programme:
    """The contents of a kind of room, in the order of their placement.

    Attributes:
        along_walls: Furniture with its back to a wall.
        middle: Furniture in the middle of the room; chairs gather around a table.
        chairs: Fewest and most chairs at each table.
    """

    along_walls: tuple[Builder, ...]
    middle: tuple[Builder, ...]
    chairs: tuple[int, int]


BEDROOM = Programme(
    (furniture.bed, furniture.wardrobe, furniture.sideboard, furniture.shelf, furniture.floor_lamp, things.plant),
    (furniture.table,),
    (1, 2),
)
LIVING_ROOM = Programme(
    (
        furniture.sofa,
        furniture.sideboard,
        furniture.shelf,
        furniture.armchair,
        furniture.floor_lamp,
        things.plant,
        furniture.wardrobe,
    ),
    (furniture.coffee_table, furniture.table),
    (1, 3),
)
DINING_ROOM = Programme(
    (furniture.sideboard, furniture.shelf, furniture.sofa, things.plant, furniture.floor_lamp, furniture.cabinet),
    (furniture.table,),
    (3, 6),
)
STUDY = Programme(
    (
        furniture.shelf,
        furniture.shelf,
        furniture.sofa,
        furniture.cabinet,
        furniture.bed,
        things.plant,
        furniture.floor_lamp,
    ),
    (furniture.table, furniture.coffee_table),
    (1, 2),
)
PLAYROOM = Programme(
    (furniture.bed, furniture.shelf, furniture.wardrobe, furniture.armchair, furniture.sideboard, things.plant),
    (furniture.coffee_table, furniture.table),
    (1, 3),
)

PROGRAMMES = (BEDROOM, LIVING_ROOM, DINING_ROOM, STUDY, PLAYROOM)

ON_FLOOR: tuple[Builder, ...] = (
    things.toy_ball,
    things.crate,
    things.toy_ball,
    things.crate,
    things.plant,
    furniture.chair,
)
"""Things for the rest of the floor."""

ON_SURFACES: tuple[Builder, ...] = (
    things.books,
    things.book_pile,
    things.book_pile,
    things.small_box,
    things.small_ball,
    things.small_plant,
    things.table_lamp,
)
"""Things for tables and cabinets."""

ON_BOARDS: tuple[Builder, ...] = (
    things.books,
    things.books,
    things.book_pile,
    things.small_box,
    things.small_ball,
    things.small_plant,
)
"""Things for shelves."""


def furnish(scene: Scene) -> None:
    """Furnish an empty room by one of the programmes."""
    random = scene.generator
    programme = PROGRAMMES[int(random.integers(len(PROGRAMMES)))]
    if random.random() < 0.75:
        rug = things.rug(scene.palette)
        x, y = random.uniform(-0.6, 0.6, 2)
        scene.add(rug, x, y, float(random.integers(2)) * np.pi / 2)
    for builder in programme.along_walls:
        _against_wall(scene, builder)
    for builder in programme.middle:
        _in_the_middle(scene, builder, int(random.integers(programme.chairs[0], programme.chairs[1] + 1)))
    for builder in random.permutation(np.array(ON_FLOOR, dtype=object))[: int(random.integers(2, 6))]:
        _scatter(scene, builder)


def _against_wall(scene: Scene, builder: Builder) -> None:
    random, layout = scene.generator, scene.layout
    model = builder(scene.palette)
    width, depth, height = model.size
    for _ in range(25):
        wall = int(random.integers(4))
        reach = layout.wall_length(wall) / 2 - width / 2 - 0.04
        if reach <= 0:
            continue
        along = float(np.clip(random.uniform(-1.3, 1.3) * reach, -reach, reach))
        x, y, yaw = layout.at_wall(wall, along, depth / 2 + 0.02)
        rectangle = footprint(width, depth, yaw, x, y)
        if not layout.floor_is_free(rectangle, 0.04) or not layout.wall_is_free(
            wall, along - width / 2, along + width / 2, 0, height
        ):
            continue
        layout.taken.append((rectangle, height))
        layout.spans.append((wall, along - width / 2, along + width / 2, 0.0, height))
        _load(scene, model, x, y, yaw, scene.add(model, x, y, yaw))
        return


def _in_the_middle(scene: Scene, builder: Builder, chairs: int) -> None:
    random, layout = scene.generator, scene.layout
    model = builder(scene.palette)
    for _ in range(25):
        x, y = random.uniform(-0.3, 0.3, 2) * (layout.width, layout.depth)
        yaw = float(random.integers(4)) * np.pi / 2
        rectangle = footprint(model.size[0], model.size[1], yaw, x, y)
        if not layout.floor_is_free(rectangle, 0.4):
            continue
        layout.taken.append((rectangle, model.size[2]))
        _load(scene, model, x, y, yaw, scene.add(model, x, y, yaw))
        if model.size[2] > 0.6:
            _seat_around(scene, model, x, y, yaw, chairs)
        return


def _seat_around(scene: Scene, table: Model, x: float, y: float, yaw: float, chairs: int) -> None:
    """Add chairs of one kind at the sides of a table, their backs away from it."""
    random, layout = scene.generator, scene.layout
    chair = furniture.chair(scene.palette)
    width, depth = table.size[:2]
    quarter = width / 4
    seats = [(-quarter, 0), (quarter, 0), (-quarter, 2), (quarter, 2), (0.0, 1), (0.0, 3)]
    for index in random.permutation(len(seats))[:chairs]:
        along, side = seats[index]
        # The gap keeps the chair's legs outside the table's footprint, so that nothing can intersect.
        distance = (depth if side % 2 == 0 else width) / 2 + chair.size[1] / 2 + random.uniform(0.02, 0.25)
        turn = side * np.pi / 2
        offset = rotation_about_z(yaw + turn) @ np.array([along, distance, 0.0])
        chair_x, chair_y = x + offset[0], y + offset[1]
        heading = yaw + turn + random.normal(0.0, 0.08)
        rectangle = footprint(chair.size[0], chair.size[1], heading, chair_x, chair_y)
        if layout.floor_is_free(rectangle, 0.0):
            layout.taken.append((rectangle, chair.size[2]))
            scene.add(chair, chair_x, chair_y, heading)


def _scatter(scene: Scene, builder: Builder) -> None:
    random, layout = scene.generator, scene.layout
    model = builder(scene.palette)
    for _ in range(20):
        x, y = random.uniform(-0.48, 0.48, 2) * (layout.width, layout.depth)
        yaw = float(random.uniform(0, 2 * np.pi))
        rectangle = footprint(model.size[0], model.size[1], yaw, x, y)
        if layout.floor_is_free(rectangle, 0.03):
            layout.taken.append((rectangle, model.size[2]))
            _load(scene, model, x, y, yaw, scene.add(model, x, y, yaw))
            return


def _load(scene: Scene, model: Model, x: float, y: float, yaw: float, carrier: int) -> None:
    """Add small things on the surfaces of a model in its place."""
    random = scene.generator
    builders, most = ON_SURFACES, 4
    if model.category == "shelf":
        builders, most = ON_BOARDS, 5
    if model.category in ("bed", "sofa"):
        builders, most = ((things.pillow,) if model.category == "bed" else (things.cushion_upright,)), 3
    for surface in model.surfaces:
        wanted = [builders[int(random.integers(len(builders)))] for _ in range(int(random.integers(0, most + 1)))]
        if model.category == "cabinet" and model.size[2] < 1.0 and random.random() < 0.8:
            wanted.insert(0, things.television)
        _fill(scene, surface, wanted, x, y, yaw, carrier)


def _fill(scene: Scene, surface: Surface, wanted: list[Builder], x: float, y: float, yaw: float, carrier: int) -> None:
    random = scene.generator
    taken: list[tuple[float, float, float, float]] = []
    for builder in wanted:
        model = builder(scene.palette)
        turn = float(random.normal(0.0, 0.06))
        for _ in range(8):
            width, depth, height = model.size
            half_x, half_y = footprint(width, depth, turn, 0.0, 0.0)[1::2]
            left, right = surface.left + half_x, surface.right - half_x
            front, back = surface.front + half_y, surface.back - half_y
            if left > right or front > back or height > surface.headroom:
                break
            local_x, local_y = random.uniform(left, right), random.uniform(front, back)
            rectangle = footprint(width, depth, turn, local_x, local_y)
            if any(overlap(rectangle, other, 0.01) for other in taken):
                continue
            taken.append(rectangle)
            offset = rotation_about_z(yaw) @ np.array([local_x, local_y, 0.0])
            scene.add(model, x + offset[0], y + offset[1], yaw + turn, surface.height, carrier)
            break


def build_room(generator: np.random.Generator) -> Scene:
    """Return a complete room, drawn from these random numbers."""
    scene = Scene(generator)
    fit_doors_and_windows(scene)
    furnish(scene)
    hang_lamps_and_pictures(scene)
    return scene
