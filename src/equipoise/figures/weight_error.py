"""The weight-error curve of paper two (figure 2)."""

import polars
from matplotlib.figure import Figure

from equipoise.figures.curves import draw_curve
from equipoise.figures.layout import TEXT, headline, methods_of, name_ends, of_method, panels, say_nothing
from equipoise.figures.styles import method_styles


def weight_error(weights: polars.DataFrame) -> Figure:
    """How far the weights of each method are from equal ones, by epoch (P2, figure 2).

    The error is the mean over tasks of |w_i / sum w - 1/T|; for two tasks it is the paper's |w_1 / (w_1 + w_2) - 0.5|.
    A method near zero weighs as the plain sum does, and ties with it.

    Args:
        weights: `epoch`, `task`, `weight` (the mean of the epoch); with a column `method` a curve for each, and with a
            column `seed` its mean and range over seeds.
    """
    methods = methods_of(weights) or [None]
    styles = method_styles(str(method or "weights") for method in methods)
    figure, every = panels(1, 1, height=3.2)
    axes = every[0, 0]
    if weights.is_empty():
        say_nothing(axes)
    ends = []
    for name, method in zip(styles, methods, strict=True):
        curve = _errors(of_method(weights, method))
        if not curve.is_empty():
            epochs, mean, low, high = (curve[column].to_numpy() for column in ("epoch", "mean", "low", "high"))
            ends.append(draw_curve(axes, epochs, mean, low, high, name, styles[name]))
    axes.set_ylim(bottom=0)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes.set_xlabel("epoch" + (" (bands: range over seeds)" if "seed" in weights.columns else ""), fontsize=TEXT)
    axes.set_ylabel(r"mean of $|w_i\, /\, \sum w - 1/T|$", fontsize=TEXT)
    headline(axes, "how far weights are from equal")
    name_ends(axes, ends)
    return figure


def _errors(weights: polars.DataFrame) -> polars.DataFrame:
    run = [key for key in ("seed", "epoch") if key in weights.columns]
    share = polars.col("weight") / polars.col("weight").sum()
    of_run = weights.group_by(run).agg(error=(share - 1 / polars.len()).abs().mean())
    error = polars.col("error").filter(polars.col("error").is_finite())
    return of_run.group_by("epoch").agg(mean=error.mean(), low=error.min(), high=error.max()).drop_nulls().sort("epoch")
