"""Values to try: grids of options."""

import itertools
from typing import Any

Grid = dict[str, tuple[Any, ...]]
"""Values to try by key."""


def grid_points(grid: Grid) -> list[dict[str, Any]]:
    """All combinations of the values of a grid; one without a key where the grid is empty.

    >>> grid_points({"a": (1, 2), "b": ("x",)})
    [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'x'}]
    """
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
