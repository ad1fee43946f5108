"""Builders of small things: on tables, in shelves, on the floor."""

import numpy as np

from equipoise.data.rooms.materials import Material, Palette
from equipoise.data.rooms.shapes import Model, Piece, ball, box, cushion, model, sheet, tube
from equipoise.data.rooms.textures import Array


def _leaf(
    material: Material, generator: np.random.Generator, root: Array, length: float, heading: float, rise: float
) -> Piece:
    """A bent, pointed leaf that starts at `root`."""
    steps = np.linspace(0.0, 1.0, 5)
    outward = length * steps * np.cos(rise)
    upward = length * (steps * np.sin(rise) - 0.5 * steps**2 * generator.uniform(0.2, 0.9))
    half_width = length * 0.17 * np.sin(np.pi * np.clip(steps, 0.06, 0.97)) + 0.002
    along = np.array([np.cos(heading), np.sin(heading), 0.0])
    across = np.array([-np.sin(heading), np.cos(heading), 0.0])
    spine = root + outward[:, None] * along + upward[:, None] * np.array([0.0, 0.0, 1.0])
    fold = np.array([0.0, 0.0, 0.25])
    left = spine + half_width[:, None] * (across + fold)
    right = spine - half_width[:, None] * (across - fold)
    return sheet("foliage", material, np.stack([left, spine, right]))


def plant(palette: Palette, height: float | None = None) -> Model:
    """A pot plant; by default one that stands on the floor."""
    random = palette.generator
    height = float(random.uniform(0.7, 1.4)) if height is None else height
    pot_height, radius = height * random.uniform(0.22, 0.32), height * random.uniform(0.13, 0.18)
    pot, leaf = palette.accent() if random.random() < 0.5 else palette.painted(), palette.leaf()
    soil = palette.wood()
    pieces = [
        tube("pot", pot, radius * 0.75, radius, pot_height, (0, 0, 0), sections=20),
        tube("pot", soil, radius * 0.9, radius * 0.9, 0.005, (0, 0, pot_height), sections=16),
    ]
    stem = (height - pot_height) * random.uniform(0.2, 0.7)
    pieces.append(tube("stem", soil, radius * 0.1, radius * 0.06, stem, (0, 0, pot_height), sections=8))
    for _ in range(int(random.integers(16, 30))):
        start = np.array([0.0, 0.0, pot_height + stem * random.uniform(0.45, 1.0)])
        length = (height - pot_height) * random.uniform(0.3, 0.55)
        pieces.append(_leaf(leaf, random, start, length, random.uniform(0, 2 * np.pi), random.uniform(0.3, 1.35)))
    return model("plant", pieces)


def small_plant(palette: Palette) -> Model:
    """A pot plant for a table or a shelf."""
    return plant(palette, float(palette.generator.uniform(0.18, 0.35)))


def crate(palette: Palette, low: float = 0.25, high: float = 0.5) -> Model:
    """A cardboard or wooden box, with a lid or a strip of tape; by default one for the floor."""
    random = palette.generator
    width, depth, height = random.uniform(low, high, 3) * np.array([1.0, 0.8, 0.8])
    material = palette.cardboard() if random.random() < 0.7 else palette.furniture()
    pieces = [box("body", material, (width, depth, height), (0, 0, 0))]
    if random.random() < 0.5:
        lid = height * 0.2
        pieces.append(box("top", palette.accent(), (width + 0.012, depth + 0.012, lid), (0, 0, height - lid + 0.006)))
    else:
        pieces.append(
            box("top", palette.painted(), (width * 0.16, depth + 0.004, height * 0.3), (0, 0, height * 0.7 + 0.002))
        )
    return model("box", pieces)


def small_box(palette: Palette) -> Model:
    """A box for a table or a shelf."""
    return crate(palette, 0.1, 0.24)


def toy_ball(palette: Palette, low: float = 0.1, high: float = 0.2) -> Model:
    """A ball for the floor, up to the size of a beach ball."""
    return model("ball", [ball("body", palette.accent(), float(palette.generator.uniform(low, high)), (0, 0, 0))])


def small_ball(palette: Palette) -> Model:
    """A ball or a round vase for a table or a shelf."""
    return toy_ball(palette, 0.05, 0.09)


def books(palette: Palette) -> Model:
    """A row of standing books."""
    random = palette.generator
    pieces, x = [], 0.0
    for _ in range(int(random.integers(4, 10))):
        thickness, height = random.uniform(0.018, 0.05), random.uniform(0.16, 0.25)
        material = palette.painted() if random.random() < 0.4 else palette.accent()
        pieces.append((thickness, height, random.uniform(0.13, 0.17), x + thickness / 2, material))
        x += thickness + 0.001
    return model("books", [box("body", m, (t, d, h), (c - x / 2, 0, 0)) for t, h, d, c, m in pieces])


def book_pile(palette: Palette) -> Model:
    """A pile of lying books."""
    random = palette.generator
    pieces, height = [], 0.0
    for _ in range(int(random.integers(2, 6))):
        thickness = random.uniform(0.02, 0.05)
        size = (random.uniform(0.17, 0.26), random.uniform(0.13, 0.19), thickness)
        book = box("body", palette.accent(), size, (0, 0, 0))
        pieces.append(book.placed(random.normal(0.0, 0.15), (0, 0, height)))
        height += thickness
    return model("books", pieces)


def table_lamp(palette: Palette) -> Model:
    """A small lamp, lit or not."""
    random = palette.generator
    lit = random.random() < 0.4
    foot, shade = palette.accent() if random.random() < 0.5 else palette.metal(), palette.shade(lit)
    height, radius = random.uniform(0.3, 0.46), random.uniform(0.09, 0.14)
    lower = height * random.uniform(0.45, 0.6)
    pieces = [
        cushion("stem", foot, (radius, radius, lower * 0.8), (0, 0, 0), power=2.5, subdivisions=2),
        tube("stem", foot, 0.01, 0.01, lower, (0, 0, 0), sections=8),
        tube("shade", shade, radius, radius * random.uniform(0.5, 0.9), height - lower, (0, 0, lower), 20, False),
    ]
    return model("lamp", pieces, light=(height + lower) / 2 if lit else None)


def pillow(palette: Palette) -> Model:
    """A pillow that lies flat."""
    random = palette.generator
    size = (random.uniform(0.4, 0.55), random.uniform(0.3, 0.36), random.uniform(0.1, 0.16))
    return model("pillow", [cushion("body", palette.cloth(), size, (0, 0, 0), power=3.0, subdivisions=2)])


def cushion_upright(palette: Palette) -> Model:
    """A pillow that leans in the back of a sofa."""
    random = palette.generator
    side = random.uniform(0.32, 0.42)
    return model("pillow", [cushion("body", palette.cloth(), (side, 0.15, side), (0, 0, 0), power=3.0, subdivisions=2)])


def television(palette: Palette) -> Model:
    """A flat screen on a foot."""
    random = palette.generator
    width = random.uniform(0.65, 1.05)
    height = width * 0.57
    frame, screen = palette.metal(), palette.screen()
    pieces = [
        box("stem", frame, (width * 0.35, 0.18, 0.015), (0, 0, 0)),
        box("stem", frame, (0.06, 0.03, 0.09), (0, 0.03, 0.0)),
        box("frame", frame, (width, 0.05, height), (0, 0, 0.07)),
        box("panel", screen, (width - 0.03, 0.01, height - 0.03), (0, -0.022, 0.085)),
    ]
    return model("television", pieces)


def _border(material: Material, width: float, height: float, base: float, bar: float, depth: float) -> list[Piece]:
    """Four bars around a rectangle of this outer size that stands at height `base`."""
    middle = -depth / 2
    inner = height - 2 * bar
    return [
        box("frame", material, (width, depth, bar), (0, middle, base)),
        box("frame", material, (width, depth, bar), (0, middle, base + height - bar)),
        box("frame", material, (bar, depth, inner), (-width / 2 + bar / 2, middle, base + bar), upright_grain=True),
        box("frame", material, (bar, depth, inner), (width / 2 - bar / 2, middle, base + bar), upright_grain=True),
    ]


def door(palette: Palette) -> Model:
    """A closed door with its frame, panels and a handle."""
    random = palette.generator
    width, height = random.uniform(0.8, 0.95), random.uniform(1.98, 2.1)
    leaf = palette.furniture()
    frame = leaf if random.random() < 0.4 else palette.furniture()
    metal = palette.metal()
    pieces = [
        *_border(frame, width + 0.16, height + 0.08, -0.08, 0.08, 0.05)[1:],
        box("panel", leaf, (width, 0.03, height - 0.08), (0, -0.015, 0.005), upright_grain=True),
    ]
    rows = int(random.integers(0, 4))
    for k in range(rows):
        span = (height - 0.3) / rows
        pieces.append(box("panel", leaf, (width - 0.26, 0.045, span - 0.12), (0, -0.0225, 0.16 + k * span)))
    side = 1 if random.random() < 0.5 else -1
    pieces.append(box("handle", metal, (0.13, 0.05, 0.022), (side * (width / 2 - 0.12), -0.055, 1.03)))
    return Model("door", tuple(pieces), (width + 0.16, 0.08, height))


def window(palette: Palette, ceiling: float) -> Model:
    """A window with one or more panes and a sill."""
    random = palette.generator
    width, sill = random.uniform(0.8, 1.8), random.uniform(0.75, 1.0)
    height = min(random.uniform(1.1, 1.4), ceiling - sill - 0.2)
    frame = palette.painted() if random.random() < 0.7 else palette.wood()
    bar = 0.06
    pieces = _border(frame, width, height, sill, bar, 0.05)
    pieces.append(
        box("panel", palette.window_view(), (width - 2 * bar, 0.01, height - 2 * bar), (0, -0.005, sill + bar))
    )
    divisions = int(random.integers(1, 4))
    for k in range(1, divisions):
        x = -width / 2 + width * k / divisions
        pieces.append(
            box("frame", frame, (0.05, 0.045, height - 2 * bar), (x, -0.0225, sill + bar), upright_grain=True)
        )
    if random.random() < 0.4:
        pieces.append(box("frame", frame, (width - 2 * bar, 0.04, 0.04), (0, -0.02, sill + height * 0.62)))
    pieces.append(box("board", frame, (width + 0.1, 0.14, 0.03), (0, -0.07, sill - 0.03)))
    return Model("window", tuple(pieces), (width + 0.1, 0.14, sill + height), light=sill + height / 2)


def curtain(palette: Palette, width: float, top: float) -> Model:
    """One wing of a curtain: a sheet with folds from the rail to the floor."""
    random = palette.generator
    across = np.linspace(-width / 2, width / 2, 40)
    down = np.linspace(top, random.uniform(0.03, 0.25), 5)
    folds = random.uniform(4, 7) / width
    phase = random.uniform(0, 2 * np.pi)
    depth = -0.13 - 0.03 * np.sin(2 * np.pi * folds * across[None, :] + phase + 0.2 * np.linspace(0, 1, 5)[:, None])
    grid = np.stack([np.broadcast_to(across, depth.shape), depth, np.broadcast_to(down[:, None], depth.shape)], axis=-1)
    return Model("curtain", (sheet("body", palette.cloth(), grid),), (width, 0.18, top))


def picture(palette: Palette, width: float, height: float, base: float) -> Model:
    """A framed picture of this outer size."""
    random = palette.generator
    bar = random.uniform(0.02, 0.05)
    frame = palette.furniture() if random.random() < 0.7 else palette.metal()
    pieces = _border(frame, width, height, base, bar, 0.035)
    motif = palette.painting(float(random.uniform(0.2, 0.5)))
    pieces.append(box("panel", motif, (width - 2 * bar, 0.015, height - 2 * bar), (0, -0.0075, base + bar)))
    return Model("picture", tuple(pieces), (width, 0.04, base + height))


def rug(palette: Palette) -> Model:
    """A rectangular or round rug with or without a border."""
    random = palette.generator
    width, depth = random.uniform(1.3, 2.4), random.uniform(0.9, 1.6)
    cloth, border = palette.cloth(), palette.cloth()
    if random.random() < 0.3:
        radius = depth * 0.6
        pieces = (
            tube("frame", border, radius, radius, 0.010, (0, 0, 0.001), sections=48),
            tube("body", cloth, radius * 0.85, radius * 0.85, 0.013, (0, 0, 0.001), sections=48),
        )
        return Model("rug", pieces, (2 * radius, 2 * radius, 0.014))
    inset = random.uniform(0.08, 0.2)
    pieces = (
        box("frame", border, (width, depth, 0.010), (0, 0, 0.001)),
        box("body", cloth, (width - inset, depth - inset, 0.013), (0, 0, 0.001)),
    )
    return Model("rug", pieces, (width, depth, 0.014))


def ceiling_lamp(palette: Palette, ceiling: float) -> Model:
    """A lamp that hangs from the ceiling: a shade, a globe or a flat disc."""
    random = palette.generator
    metal, shade = palette.metal(), palette.shade(lit=True)
    kind = int(random.integers(3))
    radius = random.uniform(0.16, 0.26)
    if kind == 0:
        drop, height = random.uniform(0.3, 0.6), random.uniform(0.16, 0.26)
        glass = tube(
            "shade",
            shade,
            radius,
            radius * random.uniform(0.35, 0.8),
            height,
            (0, 0, ceiling - drop - height),
            24,
            False,
        )
    elif kind == 1:
        drop, height = random.uniform(0.25, 0.5), 1.6 * radius
        glass = cushion(
            "shade", shade, (height, height, height), (0, 0, ceiling - drop - height), 2.0, casts_shadow=False
        )
    else:
        drop, height = 0.02, 0.1
        glass = tube("shade", shade, radius * 0.9, radius * 1.2, height, (0, 0, ceiling - drop - height), 32, False)
    pieces = (
        tube("stem", metal, 0.012, 0.012, drop, (0, 0, ceiling - drop), sections=8),
        tube("stem", metal, 0.05, 0.06, 0.02, (0, 0, ceiling - 0.02), sections=16),
        glass,
    )
    return Model("lamp", pieces, (2 * radius, 2 * radius, ceiling), light=ceiling - drop - height / 2)
