"""Checkpoints of a single task: the better value has the higher score, whichever way the metric points."""

from equipoise.tasks.depth import Depth
from equipoise.tasks.semantic_segmentation import SemanticSegmentation
from equipoise.training.selection import Selection


def test_a_smaller_error_and_a_larger_share_are_better():
    depth = Selection({"depth": Depth(name="depth")}, None)
    assert depth.score_by("depth.rmse", {"depth.rmse": 0.5}) > depth.score_by("depth.rmse", {"depth.rmse": 0.6})
    seg = Selection({"seg": SemanticSegmentation(name="seg", classes=("a", "b"))}, None)
    assert seg.score_by("seg.miou", {"seg.miou": 50.0}) > seg.score_by("seg.miou", {"seg.miou": 40.0})
