from itertools import combinations

import numpy as np
import polars
import pytest
from matplotlib.colors import to_rgb
from skimage.color import deltaE_ciede2000, rgb2lab

from equipoise.figures import feature_distance, task_styles

# What is left of linear red, green and blue (Viénot, Brettel and Mollon 1999).
BLINDNESS = {
    "protan": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deutan": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
}


def seen(colour, matrix):
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    left = np.clip(np.array(matrix) @ linear, 0, 1)
    return rgb2lab(np.where(left <= 0.0031308, left * 12.92, 1.055 * left ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_colour_blind_readers_tell_six_tasks_apart(blindness):
    colours = [style.colour for style in task_styles("abcdef").values()]
    for one, other in combinations(colours, 2):
        assert deltaE_ciede2000(seen(one, BLINDNESS[blindness]), seen(other, BLINDNESS[blindness])) > 8


def test_no_two_of_twelve_tasks_look_alike_even_without_colour():
    styles = task_styles("abcdefghijkl")
    assert len({(style.dashes, style.mark) for style in styles.values()}) == 12
    assert len({style.colour for style in styles.values()}) == 12


def test_names_can_be_read_on_white():
    for style in task_styles("abcdefghijkl").values():
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in style.ink)
        # The contrast that the Web Content Accessibility Guidelines ask of text.
        assert 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) >= 4.5


def test_a_task_keeps_its_colour_in_a_figure_of_some_tasks():
    frame = polars.DataFrame({"step": [1, 2], "task": ["edge", "edge"], "distance": [1.0, 2.0]})
    (axes,) = feature_distance(frame, tasks=["seg", "depth", "edge"]).axes
    curve = next(line for line in axes.get_lines() if line.get_label() == "edge")
    assert curve.get_color() == task_styles(["seg", "depth", "edge"])["edge"].colour
