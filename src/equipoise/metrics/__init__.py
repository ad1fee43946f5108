"""Metrics of dense prediction that `torchmetrics` lacks or defines otherwise, each over a whole data set.

The files refer to two papers. Guo et al. (2025) is "Revisit the Imbalance Optimization in Multi-task Learning: An
Experimental Analysis"; Gama & Grassi (2025) is "Uniform Loss vs. Specialized Optimization".
"""

from equipoise.metrics.absolute_error import AbsoluteError, LabelledMSE, MapError, RelativeError
from equipoise.metrics.angular_error import AngleWithin, AngularError, MedianAngle
from equipoise.metrics.boundary_matching import boundary_counts
from equipoise.metrics.confusion import MeanIoU, PixelAccuracy
from equipoise.metrics.depth import DepthRMSE, DepthWithin
from equipoise.metrics.f_measure import MaxF, MaxMeanF
from equipoise.metrics.ods_f import BoundaryScores, EdgePrecision, OdsF, OisF, best_counts, boundary_scores
from equipoise.metrics.relative_change import delta_m, delta_m_within_tasks, mean_rank, mean_within_tasks
from equipoise.metrics.shared_state import collect

__all__ = [
    "AbsoluteError",
    "AngleWithin",
    "AngularError",
    "BoundaryScores",
    "DepthRMSE",
    "DepthWithin",
    "EdgePrecision",
    "LabelledMSE",
    "MapError",
    "MaxF",
    "MaxMeanF",
    "MeanIoU",
    "MedianAngle",
    "OdsF",
    "OisF",
    "PixelAccuracy",
    "RelativeError",
    "best_counts",
    "boundary_counts",
    "boundary_scores",
    "collect",
    "delta_m",
    "delta_m_within_tasks",
    "mean_rank",
    "mean_within_tasks",
]
