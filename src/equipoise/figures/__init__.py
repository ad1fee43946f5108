"""Figures: tidy data in, a matplotlib figure out; one function a file.

A task has one colour, dash and mark in all of them, by its place in the order of tasks. Curves over steps show every
recorded step, or, where there are many, means of blocks with a light band from the 10th to the 90th percentile. What is
drawn from `equipoise.diagnosis.by_task`, `by_pair` or `by_step` takes a column `method` besides, which makes a figure
that compares methods.
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
from equipoise.figures.layout import method_styles, task_styles
from equipoise.figures.predictions import feature_distance, predictions
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
