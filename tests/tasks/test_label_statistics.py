"""Statistics of the labels of many samples."""

from itertools import permutations

import pytest
import torch

from equipoise.tasks.depth import Depth
from equipoise.tasks.label_statistics import LabelStatistics
from equipoise.tasks.semantic_segmentation import Parts
from equipoise.tasks.surface_normals import SurfaceNormals


@pytest.mark.parametrize("order", permutations(range(3)))
def test_merged_statistics_do_not_depend_on_the_order(order: tuple[int, ...]) -> None:
    task = Depth(name="depth")
    targets = torch.tensor([[[[2.0, 0.5, 0.0]]], [[[0.0, 0.0, 0.0]]], [[[4.0, 1.0, 1.0]]]])
    merged = LabelStatistics()
    for index in order:
        merged.merge(task.count_labels(targets[index]))
    assert (merged.samples, merged.labelled, merged.pixels) == (2, 5, 9)
    assert task.statistics(merged) == {"min": 0.5, "max": 4.0, "mean": pytest.approx(8.5 / 5)}


def test_classes_are_counted_and_an_image_without_parts_is_no_labelled_sample() -> None:
    task = Parts(name="parts", classes=("background", "head", "torso"))
    merged = LabelStatistics()
    for target in ([[0, 1, 1, 255]], [[0, 0, 0, 0]], [[2, 0, 255, 255]]):
        merged.merge(task.count_labels(torch.tensor(target)))
    assert merged.samples == 2
    assert task.statistics(merged) == {"histogram": {"background": 6, "head": 2, "torso": 1}}


def test_several_channels_have_a_mean_each() -> None:
    task = SurfaceNormals(name="normals")
    target = torch.tensor([[0.0, 0.0, -1.0], [0.6, 0.0, -0.8], [0.0, 0.0, 0.0]]).T.reshape(3, 1, 3)
    statistics = task.statistics(task.count_labels(target))
    assert statistics["mean"] == pytest.approx([0.3, 0.0, -0.9])
    assert (statistics["min"], statistics["max"]) == (-1.0, pytest.approx(0.6))
