"""What stands in which kind of room."""

from collections.abc import Callable
from dataclasses import dataclass

from equipoise.data.rooms import furniture, things
from equipoise.data.rooms.materials import Palette
from equipoise.data.rooms.model import Model

Builder = Callable[[Palette], Model]


@dataclass(frozen=True)
class Programme:
    """The contents of a kind of room, in the order in which they get their places.

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
"""Scattered over what is left of the floor."""

ON_SURFACES: tuple[Builder, ...] = (
    things.books,
    things.book_pile,
    things.book_pile,
    things.small_box,
    things.small_ball,
    things.small_plant,
    things.table_lamp,
)
"""Stand on tables and cabinets."""

ON_BOARDS: tuple[Builder, ...] = (
    things.books,
    things.books,
    things.book_pile,
    things.small_box,
    things.small_ball,
    things.small_plant,
)
"""Stand in shelves."""
