"""Metrics of dense prediction that `torchmetrics` lacks or defines otherwise, each over a whole data set."""

from equipoise.metrics.angular_error import AngularError
from equipoise.metrics.boundary_counts import boundary_counts
from equipoise.metrics.boundary_scores import BoundaryScores, best_counts, boundary_scores
from equipoise.metrics.depth_rmse import DepthRMSE
from equipoise.metrics.mean_iou import MeanIoU
from equipoise.metrics.ods_f import OdsF
from equipoise.metrics.pixel_accuracy import PixelAccuracy
from equipoise.metrics.relative_change import delta_m

__all__ = [
    "AngularError",
    "BoundaryScores",
    "DepthRMSE",
    "MeanIoU",
    "OdsF",
    "PixelAccuracy",
    "best_counts",
    "boundary_counts",
    "boundary_scores",
    "delta_m",
]
