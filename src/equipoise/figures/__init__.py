"""Figures: tidy data in, a matplotlib figure out; one function a file.

A task has one colour, dash and mark in all of them, by its place in the order of tasks. Curves over steps show every
recorded step, or, where there are many, means of blocks with a light band from the 10th to the 90th percentile. What is
drawn from `equipoise.diagnosis.by_task`, `by_pair` or `by_step` takes a column `method` besides, which makes a figure
that compares methods.
"""

from equipoise.figures.box_plots import box_plots
from equipoise.figures.cosine_split import cosine_split
from equipoise.figures.cosines_with_update import cosines_with_update
from equipoise.figures.feature_distance import feature_distance
from equipoise.figures.gradient_matrix import gradient_matrix
from equipoise.figures.gradient_norms import gradient_norms
from equipoise.figures.mean_cosine import mean_cosine
from equipoise.figures.pairwise_cosines import pairwise_cosines
from equipoise.figures.pairwise_dots import pairwise_dots
from equipoise.figures.predictions import predictions
from equipoise.figures.probe_overview import probe_overview
from equipoise.figures.progression import progression
from equipoise.figures.radar import radar
from equipoise.figures.relative_change import relative_change
from equipoise.figures.share_under_weights import share_under_weights
from equipoise.figures.styles import method_styles, task_styles
from equipoise.figures.update_share import update_share
from equipoise.figures.verdict_evidence import verdict_evidence
from equipoise.figures.weight_error import weight_error
from equipoise.figures.weights_per_epoch import weights_per_epoch

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
    "verdict_evidence",
    "weight_error",
    "weights_per_epoch",
]
