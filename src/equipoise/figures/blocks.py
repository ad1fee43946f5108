"""Means over blocks of steps, which is how paper one draws what it logs at every iteration."""

import math
from collections.abc import Sequence

import polars

BLOCKS = 40
"""How many blocks a curve has where nobody asks for a number of steps."""


def interval(frame: polars.DataFrame) -> int:
    """How many steps lie between two that were recorded.

    >>> interval(polars.DataFrame({"step": [10, 20, 30]}))
    10
    """
    steps = frame["step"].unique().sort()
    return max(1, round((steps[-1] - steps[0]) / (len(steps) - 1))) if len(steps) > 1 else 1


def block_width(frame: polars.DataFrame) -> int:
    """How many steps make a block: as many as give a curve of 40 points, or of every recorded step if they are few."""
    count = frame["step"].n_unique()
    return interval(frame) * (1 if count <= 1.5 * BLOCKS else math.ceil(count / BLOCKS))


def block_means(frame: polars.DataFrame, value: str, by: Sequence[str], block: int | None = None) -> polars.DataFrame:
    """Means over blocks of steps, with their spread.

    Args:
        frame: Tidy data with the columns `step`, `value` and `by`.
        value: The column to average. What is not finite does not count.
        by: The columns that tell curves apart.
        block: Steps in a block; by default see `block_width`.

    Returns:
        The columns `by`, `step` (the mean step of a block), `mean`, `low`, `high` (10th and 90th percentile over the
        steps of the block). Every curve has all blocks, with NaN where it has no value.

    >>> frame = polars.DataFrame({"step": [1, 2, 3, 4], "task": ["a"] * 4, "norm": [1.0, 3.0, 5.0, float("nan")]})
    >>> block_means(frame, "norm", ["task"], 2).select("step", "mean").rows()
    [(1.5, 2.0), (3.5, 5.0)]
    """
    if block is not None and block < 1:
        raise ValueError(f"`block` should be at least 1. Found `block = {block}`.")
    width = block_width(frame) if block is None else block
    place = (polars.col("step") - polars.col("step").min()) // width
    numbered = frame.with_columns(_block=place)
    blocks = numbered.group_by("_block").agg(polars.col("step").unique().mean()).sort("_block")
    finite = polars.col(value).cast(polars.Float64)
    finite = polars.when(finite.is_finite()).then(finite)
    found = numbered.group_by([*by, "_block"]).agg(
        mean=finite.mean(), low=finite.quantile(0.1, "linear"), high=finite.quantile(0.9, "linear")
    )
    curves = frame.select(by).unique(maintain_order=True).with_row_index("_curve")
    whole = curves.join(blocks, how="cross").join(found, on=[*by, "_block"], how="left").sort("_curve", "_block")
    return whole.select(*by, "step", polars.col("mean", "low", "high").fill_null(math.nan))
