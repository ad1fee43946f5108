"""Colours, lines and marks: the same task looks the same in every figure."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from matplotlib.colors import to_rgb

# The first six and black are Okabe and Ito's without yellow, which no line on white paper can have; the others are
# Tol's. Colour-blind readers can tell at least the first six apart; all differ by dashes and marks besides.
_TASKS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9",
    "#000000", "#882255", "#999933", "#332288", "#44AA99", "#AA4499",
)  # fmt: skip
# Tol's "muted": other colours than those of the first tasks, so that nobody takes a method for a task.
_METHODS = (
    "#332288",
    "#44AA99",
    "#CC6677",
    "#DDAA33",
    "#882255",
    "#117733",
    "#88CCEE",
    "#999933",
    "#AA4499",
    "#661100",
)
_DASHES = ((), (5, 1.5), (1.5, 1.2), (6, 1.5, 1.5, 1.5), (9, 2), (3, 1, 1, 1, 1, 1))
_MARKS = "osD^vP*XhpdH"

GREY = "0.45"
"""Of references: lines that are no data."""


class Style(NamedTuple):
    """How one task or method looks: its colour, the dashes of its line (none for a solid one), and its mark."""

    colour: str
    dashes: tuple[float, ...]
    mark: str

    @property
    def line(self) -> Any:
        """The dashes as matplotlib takes them."""
        return (0, self.dashes or None)

    @property
    def ink(self) -> tuple[float, float, float]:
        """The colour, dark enough to write with on white: a contrast of 4.6, where accessibility asks for 4.5."""
        red, green, blue = (_linear(value) for value in to_rgb(self.colour))
        luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        darker = min(1.0, (1.05 / 4.6 - 0.05) / max(luminance, 1e-6))
        return _encoded(darker * red), _encoded(darker * green), _encoded(darker * blue)


def _linear(value: float) -> float:
    """The light that a value of sRGB stands for."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _encoded(light: float) -> float:
    """The reverse."""
    return 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


def task_styles(tasks: Iterable[str]) -> dict[str, Style]:
    """The look of every task, by its place in the order of tasks.

    >>> task_styles(["seg", "depth"])["seg"].colour
    '#0072B2'
    """
    return _styles(tasks, _TASKS)


def method_styles(methods: Iterable[str]) -> dict[str, Style]:
    """The look of every method, by its place in the order of methods."""
    return _styles(methods, _METHODS)


def _styles(names: Iterable[str], colours: Sequence[str]) -> dict[str, Style]:
    return {
        name: Style(colours[i % len(colours)], _DASHES[i % len(_DASHES)], _MARKS[i % len(_MARKS)])
        for i, name in enumerate(dict.fromkeys(names))
    }
