"""Builders of the things that stand on the floor. Each draws its own dimensions and materials."""

from equipoise.data.rooms.materials import Material, Palette
from equipoise.data.rooms.shapes import Model, Piece, Surface, box, cushion, model, tube


def _legs(
    material: Material, width: float, depth: float, height: float, thickness: float, round_legs: bool
) -> list[Piece]:
    """Four legs under the corners of a rectangle of this width and depth."""
    pieces = []
    for x in (-width / 2 + thickness, width / 2 - thickness):
        for y in (-depth / 2 + thickness, depth / 2 - thickness):
            if round_legs:
                pieces.append(tube("leg", material, thickness * 0.4, thickness * 0.6, height, (x, y, 0), sections=10))
            else:
                pieces.append(box("leg", material, (thickness, thickness, height), (x, y, 0), upright_grain=True))
    return pieces


def table(palette: Palette, low: bool = False) -> Model:
    """A dining table or desk, or a low coffee table; rectangular or round."""
    random = palette.generator
    height = random.uniform(0.38, 0.48) if low else random.uniform(0.7, 0.77)
    width = random.uniform(0.7, 1.1) if low else random.uniform(1.1, 1.7)
    depth = random.uniform(0.5, 0.65) if low else random.uniform(0.65, 0.9)
    top, under = palette.furniture(), palette.wood() if random.random() < 0.6 else palette.metal()
    thickness = random.uniform(0.025, 0.05)
    base = height - thickness
    if random.random() < 0.3:
        radius = depth * 0.65
        pieces = [
            tube("top", top, radius, radius, thickness, (0, 0, base), sections=40),
            tube("leg", under, 0.05, 0.05, base, (0, 0, 0)),
            tube("leg", under, radius * 0.55, radius * 0.4, 0.04, (0, 0, 0), sections=32),
        ]
        reach = radius * 0.65
        return model("table", pieces, [Surface(-reach, reach, -reach, reach, height, 0.6)])
    pieces = [box("top", top, (width, depth, thickness), (0, 0, base))]
    pieces += _legs(under, width - 0.04, depth - 0.04, base, random.uniform(0.045, 0.075), random.random() < 0.4)
    edge = 0.04
    surface = Surface(-width / 2 + edge, width / 2 - edge, -depth / 2 + edge, depth / 2 - edge, height, 0.6)
    return model("table", pieces, [surface])


def coffee_table(palette: Palette) -> Model:
    """A low table."""
    return table(palette, low=True)


def chair(palette: Palette) -> Model:
    """A chair with a slatted or solid back, or a stool without one."""
    random = palette.generator
    width, depth = random.uniform(0.4, 0.48), random.uniform(0.4, 0.46)
    seat_height, height = random.uniform(0.43, 0.48), random.uniform(0.8, 1.0)
    frame = palette.furniture() if random.random() < 0.7 else palette.metal()
    seat = palette.cloth() if random.random() < 0.5 else frame
    pieces = _legs(frame, width - 0.02, depth - 0.02, seat_height - 0.04, 0.04, random.random() < 0.5)
    pieces.append(cushion("seat", seat, (width, depth, 0.06), (0, 0, seat_height - 0.045), power=8.0, subdivisions=2))
    if random.random() < 0.12:
        return model("chair", pieces)
    rear = depth / 2 - 0.025
    rise = height - seat_height
    for x in (-width / 2 + 0.025, width / 2 - 0.025):
        pieces.append(box("back", frame, (0.035, 0.035, rise), (x, rear, seat_height), upright_grain=True))
    if random.random() < 0.5:
        pieces.append(box("back", seat, (width - 0.07, 0.025, rise * 0.6), (0, rear, seat_height + rise * 0.38)))
    else:
        slats = int(random.integers(2, 5))
        for k in range(slats):
            level = seat_height + rise * (k + 1) / slats - 0.07
            pieces.append(box("back", frame, (width - 0.07, 0.02, 0.06), (0, rear, level)))
    return model("chair", pieces)


def sofa(palette: Palette, seats: int | None = None) -> Model:
    """A sofa of two or three seats, or an armchair."""
    random = palette.generator
    seats = int(random.integers(2, 4)) if seats is None else seats
    arm = random.uniform(0.14, 0.22)
    seat_width = random.uniform(0.58, 0.68)
    width, depth = seats * seat_width + 2 * arm, random.uniform(0.8, 0.92)
    height, arm_height = random.uniform(0.74, 0.88), random.uniform(0.52, 0.62)
    cover = palette.cloth()
    back = 0.2
    pieces = _legs(palette.wood(), width - 0.06, depth - 0.06, 0.1, 0.05, True)
    pieces.append(box("body", cover, (width - 2 * arm, depth - back, 0.16), (0, -back / 2, 0.1)))
    pieces.append(
        cushion("back", cover, (width - arm, back + 0.04, height - 0.1), (0, depth / 2 - back / 2, 0.1), power=7.0)
    )
    for side in (-1, 1):
        centre = (side * (width / 2 - arm / 2), 0.0, 0.1)
        pieces.append(cushion("arm", cover, (arm, depth - 0.02, arm_height - 0.1), centre, power=6.0))
    for k in range(seats):
        x = (k - (seats - 1) / 2) * seat_width
        pieces.append(cushion("seat", cover, (seat_width, depth - back, 0.2), (x, -back / 2, 0.25), power=6.0))
    reach, rear = seats * seat_width / 2, depth / 2 - back
    surface = Surface(-reach, reach, rear - 0.25, rear - 0.02, 0.44, 0.8)
    return model("sofa", pieces, [surface])


def armchair(palette: Palette) -> Model:
    """A sofa for one."""
    return sofa(palette, seats=1)


def bed(palette: Palette) -> Model:
    """A bed with its head against the wall; pillows are added as objects of their own."""
    random = palette.generator
    width, depth = random.uniform(0.9, 1.6), random.uniform(1.95, 2.1)
    base, frame = 0.22, palette.furniture()
    head = random.uniform(0.75, 1.1)
    sheet, blanket = palette.cloth(), palette.cloth()
    pieces = _legs(frame, width, depth - 0.1, base, 0.07, False)
    pieces.append(box("frame", frame, (width, depth - 0.06, 0.12), (0, -0.03, base)))
    pieces.append(box("back", frame, (width, 0.05, head - 0.05), (0, depth / 2 - 0.025, 0.05)))
    pieces.append(cushion("mattress", sheet, (width - 0.04, depth - 0.1, 0.2), (0, -0.03, base + 0.1), power=10.0))
    cover = depth * random.uniform(0.5, 0.66)
    pieces.append(
        cushion(
            "mattress",
            blanket,
            (width + 0.03, cover, 0.21),
            (0, -depth / 2 + cover / 2 + 0.02, base + 0.115),
            power=10.0,
        )
    )
    # Things may lie on the sheet only: the blanket is a little higher.
    surface = Surface(-width / 2 + 0.05, width / 2 - 0.05, depth / 2 - 0.48, depth / 2 - 0.08, base + 0.3, 0.8)
    return model("bed", pieces, [surface])


def cabinet(palette: Palette, tall: bool | None = None) -> Model:
    """A sideboard, chest of drawers or wardrobe with doors or drawers and handles."""
    random = palette.generator
    tall = random.random() < 0.35 if tall is None else tall
    width, depth = random.uniform(0.7, 1.5), random.uniform(0.38, 0.55)
    height = random.uniform(1.7, 2.05) if tall else random.uniform(0.5, 0.95)
    body = palette.furniture()
    panel = body if random.random() < 0.5 else palette.furniture()
    metal = palette.metal()
    foot = random.uniform(0.04, 0.1)
    pieces = [
        box("body", body, (width, depth - 0.02, height - foot), (0, 0.01, foot)),
        box("leg", metal, (width - 0.06, depth - 0.08, foot), (0, 0.01, 0)),
    ]
    columns = int(random.integers(2, 4)) if width > 0.9 else int(random.integers(1, 3))
    rows = 1 if tall or random.random() < 0.4 else int(random.integers(2, 5))
    cell_width, cell_height = (width - 0.02) / columns, (height - foot - 0.02) / rows
    for column in range(columns):
        for row in range(rows):
            x = -width / 2 + 0.01 + (column + 0.5) * cell_width
            z = foot + 0.01 + row * cell_height
            front = -depth / 2 + 0.01
            pieces.append(box("panel", panel, (cell_width - 0.015, 0.02, cell_height - 0.015), (x, front, z + 0.0075)))
            if rows == 1:
                inner = x + (0.38 if column % 2 == 0 else -0.38) * cell_width
                pieces.append(box("handle", metal, (0.02, 0.03, 0.14), (inner, front - 0.02, z + cell_height * 0.5)))
            else:
                pieces.append(box("handle", metal, (0.14, 0.03, 0.02), (x, front - 0.02, z + cell_height * 0.6)))
    edge = 0.04
    reach, headroom = width / 2 - edge, 0.4 if tall else 0.8
    top = Surface(-reach, reach, -depth / 2 + edge + 0.02, depth / 2 - edge, height, headroom)
    return model("cabinet", pieces, [top])


def wardrobe(palette: Palette) -> Model:
    """A tall cabinet."""
    return cabinet(palette, tall=True)


def sideboard(palette: Palette) -> Model:
    """A low cabinet."""
    return cabinet(palette, tall=False)


def shelf(palette: Palette) -> Model:
    """An open shelf, with or without a back board, whose boards carry books and small things."""
    random = palette.generator
    width, depth = random.uniform(0.6, 1.2), random.uniform(0.27, 0.36)
    height, count = random.uniform(1.0, 2.0), int(random.integers(3, 6))
    material = palette.furniture()
    side = 0.025
    pieces = [
        box("frame", material, (side, depth, height), (x, 0, 0), upright_grain=True)
        for x in (-width / 2 + side / 2, width / 2 - side / 2)
    ]
    gap = (height - 0.06) / count
    surfaces = []
    for k in range(count + 1):
        level = 0.03 + k * gap
        # One millimetre short, so that no two faces of the shelf lie in one plane.
        pieces.append(box("board", material, (width - 2 * side, depth - 0.002, 0.025), (0, 0, level)))
        headroom = gap - 0.04 if k < count else 0.5
        reach = width / 2 - side - 0.01
        surfaces.append(Surface(-reach, reach, -depth / 2 + 0.01, depth / 2 - 0.03, level + 0.025, headroom))
    if random.random() < 0.7:
        back = material if random.random() < 0.5 else palette.painted()
        pieces.append(box("back", back, (width - 2 * side, 0.012, height - 0.03), (0, depth / 2 - 0.012, 0.03)))
    return model("shelf", pieces, surfaces)


def floor_lamp(palette: Palette) -> Model:
    """A standing lamp, lit or not."""
    random = palette.generator
    lit = random.random() < 0.7
    metal, shade = palette.metal(), palette.shade(lit)
    height, radius = random.uniform(1.35, 1.75), random.uniform(0.16, 0.24)
    shade_height = random.uniform(0.22, 0.34)
    pieces = [
        tube("stem", metal, 0.14, 0.13, 0.03, (0, 0, 0), sections=24),
        tube("stem", metal, 0.014, 0.014, height - shade_height + 0.02, (0, 0, 0.03), sections=8),
        tube(
            "shade",
            shade,
            radius,
            radius * random.uniform(0.55, 0.95),
            shade_height,
            (0, 0, height - shade_height),
            24,
            False,
        ),
    ]
    return model("lamp", pieces, light=height - shade_height / 2 if lit else None)
