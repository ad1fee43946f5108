"""The paper that figures are drawn on: panels in rows and columns, plain axes, names beside lines."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

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


TEXT, SMALL = 9, 8
"""Sizes of letters, in points."""
WIDE, NARROW = 5.4, 3.3
"""Inches of a panel that stands alone, and of one beside others."""
ACROSS = 4
"""How many panels stand beside each other where there may be any number of them."""
TOGETHER = 6
"""How many methods can be seen in one panel; more would hide each other."""
_ROWS = 6
"""Rows of panels from which on they are lower, so that the figure of many methods does not go on for ever."""


class End(NamedTuple):
    """Where a curve ends, and what to write there."""

    y: float
    name: str
    style: Style


def panels(rows: int, columns: int, *, width: float = WIDE, height: float = 2.7) -> tuple[Figure, np.ndarray]:
    """A figure with a grid of axes, `[rows, columns]`, of so many inches each; many rows are lower.

    Every panel has limits of its own until `same_x` and `same_y` are called, when all is drawn. Axes that matplotlib
    shares would see each other's limits at once, but take time with the square of their number.
    """
    lower = 1.0 if rows < _ROWS else 0.7
    figure = Figure(figsize=(width * columns + 0.6, lower * height * rows + 0.5), layout="constrained")
    every = figure.subplots(rows, columns, squeeze=False)
    for axes in every.flat:
        dress(axes)
    return figure, every


def tiles(
    rows: int, count: int, *, across: int = ACROSS, width: float | None = None, height: float = 2.7
) -> tuple[Figure, np.ndarray]:
    """A figure with some panels for each of several things, `[rows, count]`, below each other.

    The things stand beside each other, and go on below where there are more than go across. The panels are to have one
    scale of x, and one of y a row: see `same_scales`.
    """
    columns = min(across, max(1, count))
    bands = -(-max(1, count) // columns)
    wide = WIDE if columns == 1 else NARROW
    figure, every = panels(bands * rows, columns, width=width or wide, height=height)
    found = np.empty((rows, max(1, count)), dtype=object)
    for row, place in np.ndindex(found.shape):
        found[row, place] = every[place // columns * rows + row, place % columns]
    for axes in set(every.flat) - set(found.flat):
        axes.remove()
    numbers_outside(figure)
    return figure, found


def numbers_outside(figure: Figure) -> None:
    """Leave the numbers of axes to the leftmost panels, and to the lowest of every column."""
    places = {axes: axes.get_subplotspec() for axes in figure.axes}
    found = {axes: (spec.rowspan.start, spec.colspan.start) for axes, spec in places.items() if spec is not None}
    lowest = {column: row for row, column in sorted(found.values())}
    for axes, (row, column) in found.items():
        axes.tick_params(axis="x", which="both", labelbottom=row == lowest[column])
        axes.tick_params(axis="y", which="both", labelleft=column == 0)


def same_x(every: Sequence[Axes] | np.ndarray) -> None:
    """Give panels the limits of x that hold what is drawn in all of them."""
    limits = [axes.get_xlim() for axes in every if np.isfinite(axes.dataLim.intervalx).all()]
    for axes in every if limits else ():
        axes.set_xlim(np.min(limits), np.max(limits))


def same_y(every: Sequence[Axes] | np.ndarray) -> None:
    """Give panels the limits of y that hold what is drawn in all of them."""
    limits = [axes.get_ylim() for axes in every if np.isfinite(axes.dataLim.intervaly).all()]
    for axes in every if limits else ():
        axes.set_ylim(np.min(limits), np.max(limits))


def same_scales(every: np.ndarray) -> None:
    """Give panels `[rows, count]` one scale of x, and one of y a row."""
    same_x(every.ravel())
    for row in every:
        same_y(row)


def leftmost(axes: Axes) -> bool:
    """Whether a panel stands at the left, where the quantity of its row is named."""
    place = axes.get_subplotspec()
    return place is None or place.is_first_col()


def dress(axes: Axes) -> None:
    """Take from axes what says nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("0.6")
    axes.tick_params(which="both", labelsize=SMALL, color="0.6", labelcolor="0.25")
    axes.grid(axis="y", color="0.92", linewidth=0.7)
    axes.set_axisbelow(True)


def headline(axes: Axes, text: str) -> None:
    """Say above a panel what is seen."""
    axes.set_title(text, loc="left", fontsize=TEXT + 1, color="0.1")


def methods_of(frame: polars.DataFrame) -> list[str | None]:
    """What the panels of a figure are of, in order: the column `method`; one without a name where there is none."""
    return frame["method"].unique(maintain_order=True).to_list() if "method" in frame.columns else [None]


def of_method(frame: polars.DataFrame, method: str | None) -> polars.DataFrame:
    """The part of a frame that belongs to one panel."""
    return frame if method is None else frame.filter(polars.col("method") == method)


def reference(axes: Axes, y: float, name: str) -> End:
    """Draw a dashed line of what would be so in a plain case; return its end, for its name."""
    style = Style(GREY, (4, 2), "")
    axes.axhline(y, color=style.colour, linewidth=1.1, linestyle=style.line, zorder=2.5)
    return End(y, name, style)


def name_ends(axes: Axes, ends: Iterable[End]) -> None:
    """Write the names of curves where they end, apart from each other; call it when the limits of y are final."""
    finite = [end for end in ends if np.isfinite(end.y)]
    if not finite:
        return
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    points = axes.transData.transform([(axes.get_xlim()[1], end.y) for end in finite])
    heights = axes.transAxes.inverted().transform(points)[:, 1]
    inches = axes.get_position().height * axes.figure.get_figheight()  # type: ignore[union-attr]
    for end, height, place in zip(finite, heights, _apart(heights, 1.3 * TEXT / 72 / inches), strict=True):
        axes.annotate(
            end.name,
            (1.0, height),
            xycoords="axes fraction",
            xytext=(1.035, place),
            textcoords="axes fraction",
            va="center",
            fontsize=TEXT,
            color=end.style.ink,
            arrowprops={
                "arrowstyle": "-",
                "color": end.style.colour,
                "linewidth": 0.7,
                "shrinkA": 1,
                "shrinkB": 1,
                "relpos": (0, 0.5),
            },
            annotation_clip=False,
        )


def _apart(heights: np.ndarray, gap: float) -> np.ndarray:
    """The nearest heights in the same order that are a gap apart: the pool-adjacent-violators way."""
    order = np.argsort(heights, kind="stable")
    pools: list[list[float]] = []
    for rank, height in enumerate(heights[order]):
        pools.append([height - rank * gap])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    level = np.concatenate([np.full(len(pool), np.mean(pool)) for pool in pools])
    places = np.empty(len(heights))
    places[order] = level + gap * np.arange(len(heights))
    return places


def legend_above(figure: Figure, styles: Mapping[str, Style], names: Sequence[str]) -> None:
    """One legend for all panels."""
    if names:
        handles = [
            Line2D([], [], color=s.colour, linestyle=s.line, marker=s.mark, markersize=4, linewidth=1.8)
            for s in (styles[name] for name in names)
        ]
        # In inches: a handle with what is around it, and the letters of the longest name.
        widest = 0.65 + 0.075 * max(map(len, names))
        columns = max(1, min(len(names), int(figure.get_figwidth() / widest)))
        figure.legend(handles, names, loc="outside upper left", ncols=columns, frameon=False, fontsize=TEXT)


def say_nothing(axes: Axes) -> None:
    """Say that there is nothing to draw."""
    axes.text(0.5, 0.5, "nothing recorded", transform=axes.transAxes, ha="center", va="center", color="0.5")
