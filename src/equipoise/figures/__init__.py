"""Figures: functions that take tidy data and return a matplotlib figure, one file for each subject.

A task has the same colour, dashes and mark in all figures, given by its position among the tasks. Curves over steps
show every recorded step; if there are many, they show means of blocks with a light band from the 10th to the 90th
percentile. Figures of the frames from `equipoise.diagnosis.by_task`, `by_pair` and `by_step` compare methods if the
frame has a column `method`.

The files refer to two papers. Guo et al. (2025) is "Revisit the Imbalance Optimization in Multi-task Learning: An
Experimental Analysis"; Gama & Grassi (2025) is "Uniform Loss vs. Specialized Optimization".
"""

from equipoise.figures.comparisons import box_plots, radar, relative_change
from equipoise.figures.cosines import (
    cosine_split,
    cosines_with_update,
    gradient_matrix,
    mean_cosine,
    pairwise_cosines,
    pairwise_dots,
)
from equipoise.figures.gradients import (
    gradient_norms,
    probe_overview,
    share_under_weights,
    update_share,
    verdict_overview,
)
from equipoise.figures.predictions import feature_distance, predictions
from equipoise.figures.styles import method_styles, task_styles
from equipoise.figures.weights import progression, weight_error, weights_per_epoch

__all__ = [
    "box_plots",
    "cosine_split",
    "cosines_with_update",
    "feature_distance",
    "gradient_matrix",
    "gradient_norms",
    "mean_cosine",
    "method_styles",
    "pairwise_cosines",
    "pairwise_dots",
    "predictions",
    "probe_overview",
    "progression",
    "radar",
    "relative_change",
    "share_under_weights",
    "task_styles",
    "update_share",
    "verdict_overview",
    "weight_error",
    "weights_per_epoch",
]
