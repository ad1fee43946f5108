"""Styles of tasks and methods: colours, dashes and marks."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from matplotlib.colors import to_rgb

# The first six and black are Okabe and Ito's without yellow, which cannot be seen as a line on white; the others are
# Tol's. Colour-blind readers can distinguish at least the first six. All differ in dashes and marks, too.
_TASKS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9",
    "#000000", "#882255", "#999933", "#332288", "#44AA99", "#AA4499",
)  # fmt: skip
# Tol's "muted". They differ from the colours of the first tasks, so that nobody takes a method for a task.
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
"""The colour of reference lines, which are not data."""


class Style(NamedTuple):
    """The style of one task or method: its colour, the dashes of its line (none if it is solid), and its mark."""

    colour: str
    dashes: tuple[float, ...]
    mark: str

    @property
    def line(self) -> Any:
        """The dashes in the form that matplotlib takes."""
        return (0, self.dashes or None)

    @property
    def ink(self) -> tuple[float, float, float]:
        """The colour, dark enough for text on white: a contrast of 4.6, where accessibility guidelines ask for 4.5."""
        red, green, blue = (_linear(value) for value in to_rgb(self.colour))
        luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        darker = min(1.0, (1.05 / 4.6 - 0.05) / max(luminance, 1e-6))
        return _encoded(darker * red), _encoded(darker * green), _encoded(darker * blue)


def task_styles(tasks: Iterable[str]) -> dict[str, Style]:
    """Return the style of every task. It depends on the position of the task among all tasks.

    Args:
        tasks: All tasks in order; repeated names count once.

    Example:
        >>> task_styles(["seg", "depth"])["seg"].colour
        '#0072B2'
    """
    return _styles(tasks, _TASKS)


def method_styles(methods: Iterable[str]) -> dict[str, Style]:
    """Return the style of every method. It depends on the position of the method among all methods.

    Args:
        methods: All methods in order; repeated names count once.
    """
    return _styles(methods, _METHODS)


def _styles(names: Iterable[str], colours: Sequence[str]) -> dict[str, Style]:
    return {
        name: Style(colours[i % len(colours)], _DASHES[i % len(_DASHES)], _MARKS[i % len(_MARKS)])
        for i, name in enumerate(dict.fromkeys(names))
    }


def _linear(value: float) -> float:
    """Return the linear light of an sRGB value."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _encoded(light: float) -> float:
    """Return the sRGB value of linear light."""
    return 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
