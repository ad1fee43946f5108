"""A complete room from one seed."""

import numpy as np

from equipoise.data.rooms.fitting_out import fit_doors_and_windows, hang_lamps_and_pictures
from equipoise.data.rooms.furnishing import furnish
from equipoise.data.rooms.scene import Scene


def build(generator: np.random.Generator) -> Scene:
    """A room with doors and windows, furniture, lamps and pictures, all drawn from these random numbers."""
    scene = Scene(generator)
    fit_doors_and_windows(scene)
    furnish(scene)
    hang_lamps_and_pictures(scene)
    return scene
