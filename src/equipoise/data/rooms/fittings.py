"""Builders of what hangs on walls, lies on the floor or hangs from the ceiling.

Wall fittings have their back at y = 0 and stick out towards -y; their heights are already those above the floor.
"""

import numpy as np

from equipoise.data.rooms.materials import Material, Palette
from equipoise.data.rooms.model import Model
from equipoise.data.rooms.shapes import Piece, box, cushion, sheet, tube


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
    pieces.append(box("panel", palette.outlook(), (width - 2 * bar, 0.01, height - 2 * bar), (0, -0.005, sill + bar)))
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
