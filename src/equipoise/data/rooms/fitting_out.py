"""Doors, windows, curtains, ceiling lamps and pictures: what belongs to a room before and after it is furnished."""

from equipoise.data.rooms import fittings
from equipoise.data.rooms.layout import footprint
from equipoise.data.rooms.model import Model
from equipoise.data.rooms.scene import Scene


def fit_doors_and_windows(scene: Scene) -> None:
    """One or two doors, which stay accessible, and one or two windows, some with curtains."""
    random = scene.generator
    for _ in range(int(random.integers(1, 3))):
        _on_wall(scene, fittings.door(scene.palette), [0, 1, 2, 3], 0.0, clear=0.8)
    first = int(random.integers(4))
    walls = [first, (first + 1) % 4]
    for _ in range(int(random.integers(1, 3))):
        window = fittings.window(scene.palette, scene.height)
        place = _on_wall(scene, window, walls, 0.7)
        if place is not None and random.random() < 0.5:
            _hang_curtains(scene, place[0], place[1], window)


def hang_lamps_and_pictures(scene: Scene) -> None:
    """Lamps at the ceiling, and pictures where the furniture leaves space for them."""
    random, layout = scene.generator, scene.layout
    lamps = 1 if layout.width * layout.depth < 18 else int(random.integers(1, 3))
    lamp = fittings.ceiling_lamp(scene.palette, scene.height)
    for k in range(lamps):
        across = 0.0 if lamps == 1 else (k - 0.5) * layout.width * 0.5
        scene.add(lamp, across + random.normal(0.0, 0.15), random.normal(0.0, 0.15), 0.0)
    for _ in range(int(random.integers(3, 7))):
        width, height = random.uniform(0.3, 0.9), random.uniform(0.3, 0.7)
        base = random.uniform(1.25, 1.5)
        _on_wall(scene, fittings.picture(scene.palette, width, height, base), [0, 1, 2, 3], base - 0.05)


def _on_wall(scene: Scene, model: Model, walls: list[int], low: float, clear: float = 0.0) -> tuple[int, float] | None:
    """Fixes a wall fitting at a free place of one of these walls; returns the wall and the place along it."""
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
        scene.add(fittings.curtain(scene.palette, width, top), x, y, yaw)
        scene.layout.spans.append((wall, start, stop, 0.0, top))
        centre_x, centre_y, _ = scene.layout.at_wall(wall, middle, 0.1)
        scene.layout.taken.append((footprint(width, 0.2, yaw, centre_x, centre_y), top))
