"""Figure 3b of paper two: what happens as a problem grows."""

from typing import Any

import numpy as np
import polars
from matplotlib.figure import Figure

from equipoise.figures.layout import TEXT, WIDE, End, headline, methods_of, name_ends, of_method, panels, same_x
from equipoise.figures.styles import method_styles


def progression(values: polars.DataFrame, *, quantity: str, baseline: str) -> Figure:
    """A score at every stage of a growing problem, and how far the methods are ahead of the baseline (P2, figure 3b).

    Args:
        values: `stage` (such as "2 tasks"; drawn in the order of the rows), `method`, `value`, higher is better, in
            percent; with several rows of a stage and method (seeds) their mean, and a band of one standard deviation.
        quantity: What the values are, with their unit, such as "delta_m, %".
        baseline: The method that the others are compared with, below.
    """
    stages = values["stage"].unique(maintain_order=True).to_list()
    methods = [str(method) for method in methods_of(values) if method is not None]
    styles = method_styles(methods)
    # A stage and a method need as much room as their names; those of many stages are turned.
    many = len(stages) > 5
    figure, every = panels(2, 1, width=max(WIDE, 0.75 * len(stages)), height=max(2.5, 0.17 * len(methods)))
    upper, lower = every[:, 0]
    x, means, ends = np.arange(len(stages)), {}, []
    for method in methods:
        groups = [
            of_method(values, method).filter(polars.col("stage") == stage)["value"].drop_nulls().drop_nans().to_numpy()
            for stage in stages
        ]
        mean = np.array([group.mean() if len(group) else np.nan for group in groups])
        spread = np.array([group.std(ddof=1) if len(group) > 1 else 0.0 for group in groups])
        style, means[method] = styles[method], mean
        upper.fill_between(x, mean - spread, mean + spread, color=style.colour, alpha=0.15, linewidth=0)
        upper.plot(
            x, mean, color=style.colour, linestyle=style.line, marker=style.mark, markersize=5, linewidth=1.8,
            label=method,
        )  # fmt: skip
        known = mean[np.isfinite(mean)]
        ends.append(End(known[-1] if len(known) else np.nan, method, style))
    others = [method for method in methods if method != baseline and baseline in means]
    for place, method in enumerate(others):
        width = 0.7 / len(others)
        ahead = means[method] - means[baseline]
        lower.bar(
            x + (place - (len(others) - 1) / 2) * width, ahead, 0.9 * width, color=styles[method].colour, alpha=0.85
        )
    lower.axhline(0, color="0.3", linewidth=0.8)
    same_x((upper, lower))
    upper.tick_params(labelbottom=False)
    turned: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if many else {}
    lower.set_xticks(x, stages, fontsize=TEXT, **turned)
    upper.set_ylabel(quantity, fontsize=TEXT)
    lower.set_ylabel("difference", fontsize=TEXT)
    headline(upper, "stage by stage")
    headline(lower, f"ahead of {baseline}")
    name_ends(upper, ends)
    return figure
