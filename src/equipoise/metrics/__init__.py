"""Metrics of dense prediction that `torchmetrics` lacks or defines otherwise, each over a whole data set."""

from equipoise.metrics.absolute_error import AbsoluteError, RelativeError
from equipoise.metrics.angular_error import AngleWithin, AngularError, MedianAngle
from equipoise.metrics.boundary_counts import boundary_counts
from equipoise.metrics.boundary_scores import BoundaryScores, best_counts, boundary_scores
from equipoise.metrics.depth_rmse import DepthRMSE
from equipoise.metrics.depth_within import DepthWithin
from equipoise.metrics.labelled_squared_error import LabelledMSE
from equipoise.metrics.map_error import MapError
from equipoise.metrics.max_f import MaxF, MaxMeanF
from equipoise.metrics.mean_iou import MeanIoU
from equipoise.metrics.ods_f import EdgePrecision, OdsF, OisF
from equipoise.metrics.pixel_accuracy import PixelAccuracy
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
