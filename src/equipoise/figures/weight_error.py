"""The weight-error curve of paper two (figure 2)."""

import polars
from matplotlib.figure import Figure

from equipoise.figures.curves import curve_a_method, name_panel
from equipoise.figures.layout import TEXT


def weight_error(weights: polars.DataFrame) -> Figure:
    """How far the weights of each method are from equal ones, by epoch (P2, figure 2).

    The error is the mean over tasks of |w_i / sum w - 1/T|; for two tasks it is the paper's |w_1 / (w_1 + w_2) - 0.5|.
    A method near zero weighs as the plain sum does, and ties with it.

    Args:
        weights: `epoch`, `task`, `weight` (the mean of the epoch); with a column `method` a curve for each, in a panel
            of its own where they are many, and with a column `seed` its mean and range over seeds.
    """
    named = weights if "method" in weights.columns else weights.with_columns(method=polars.lit("weights"))
    grid = curve_a_method(_errors(named))
    for column, axes in enumerate(grid.axes[0]):
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        name_panel(grid, 0, column, "how far weights are from equal", r"mean of $|w_i\, /\, \sum w - 1/T|$")
    bands = " (bands: range over seeds)" if "seed" in weights.columns else ""
    grid.figure.supxlabel(f"epoch{bands}", fontsize=TEXT)
    return grid.finish()


def _errors(weights: polars.DataFrame) -> polars.DataFrame:
    run = [key for key in ("method", "seed", "epoch") if key in weights.columns]
    share = polars.col("weight") / polars.col("weight").sum()
    of_run = weights.group_by(run, maintain_order=True).agg(error=(share - 1 / polars.len()).abs().mean())
    error = polars.col("error").filter(polars.col("error").is_finite())
    over_seeds = of_run.group_by("method", "epoch", maintain_order=True).agg(
        mean=error.mean(), low=error.min(), high=error.max()
    )
    return over_seeds.drop_nulls().rename({"epoch": "x"}).sort("x", maintain_order=True)
