"""Puts furniture into a room and small things onto the furniture, so that nothing intersects."""

import numpy as np

from equipoise.data.rooms import fittings, furniture, things
from equipoise.data.rooms.layout import footprint, overlap
from equipoise.data.rooms.model import Model, Surface
from equipoise.data.rooms.programme import ON_BOARDS, ON_FLOOR, ON_SURFACES, PROGRAMMES, Builder
from equipoise.data.rooms.scene import Scene
from equipoise.data.rooms.shapes import rotation_about_z


def furnish(scene: Scene) -> None:
    """Furnishes an empty room as one of the programmes says."""
    random = scene.generator
    programme = PROGRAMMES[int(random.integers(len(PROGRAMMES)))]
    if random.random() < 0.75:
        rug = fittings.rug(scene.palette)
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
    """Chairs of one kind at the sides of a table, their backs away from it."""
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
    """Puts small things on the surfaces of a model that already stands."""
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
