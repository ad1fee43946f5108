"""Labels as classes, for networks that use them so on the way."""

import math

import pytest
import torch
from torch.nn import functional

from equipoise.tasks.depth import Depth
from equipoise.tasks.disparity import Disparity
from equipoise.tasks.edges import Edges
from equipoise.tasks.saliency import Saliency
from equipoise.tasks.semantic_segmentation import Parts, SemanticSegmentation
from equipoise.tasks.surface_normals import SurfaceNormals, directions

CLASSES = ("wall", "floor", "ceiling", "door")


@pytest.mark.parametrize("kind", [SemanticSegmentation, Parts])
def test_classes_are_categories(kind):
    task = kind(name="x", classes=CLASSES)
    target = torch.tensor([[[0, 3, 255]]])
    assert task.output.categories == 4
    assert torch.equal(task.categorise(target), target)


@pytest.mark.parametrize("task", [Edges(name="edge"), Saliency(name="saliency")])
def test_yes_and_no_are_categories(task):
    found = task.categorise(torch.tensor([[[[0.0, 1.0, 255.0]]]]))
    assert task.output.categories == 2
    assert found.dtype == torch.int64
    assert found.tolist() == [[[0, 1, 255]]]


def test_depths_fall_into_bins_of_equal_ratio():
    task = Depth(name="depth")
    assert task.output.categories == 40
    ratio = (10 / 0.7) ** (1 / 40)
    inside = [0.7 * ratio ** (bin + 0.5) for bin in range(40)]
    found = task.categorise(torch.tensor(inside).reshape(1, 1, 4, 10))
    assert found.flatten().tolist() == list(range(40))
    outside = torch.tensor([0.1, 0.7, 25.0, 0.0, -1.0, math.nan, math.inf]).reshape(1, 1, 1, 7)
    assert task.categorise(outside).tolist() == [[[0, 0, 39, 255, 255, 255, 255]]]


def test_the_range_of_the_bins_can_be_chosen():
    task = Depth(name="depth", nearest=1.0, farthest=100.0, bins=2)
    assert task.categorise(torch.tensor([5.0, 9.9, 10.1, 99.0]).reshape(1, 1, 1, 4)).tolist() == [[[0, 0, 1, 1]]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"nearest": 0.0}, r"`nearest` should be between 0 and `farthest = 10.0`. Found `nearest = 0.0`"),
        ({"nearest": 11.0}, r"Found `nearest = 11.0`"),
        ({"bins": 0}, r"`bins` should be 1 to 255. Found `bins = 0`"),
    ],
)
def test_bins_that_cannot_be(fields, message):
    with pytest.raises(ValueError, match=message):
        Depth(name="depth", **fields)


def test_normals_go_to_the_nearest_direction():
    task = SurfaceNormals(name="normals")
    lattice = torch.tensor(directions())
    assert task.output.categories == 40
    assert torch.all(lattice[:, 2] < 0)
    torch.testing.assert_close(lattice.norm(dim=1), torch.ones(40))
    nearest_neighbour = (lattice @ lattice.T).fill_diagonal_(-1).amax(dim=1).acos().rad2deg()
    assert nearest_neighbour.min() > 19  # 40 directions that share a hemisphere evenly are about 22 degrees apart

    wobbly = functional.normalize(
        lattice + 0.05 * torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), dim=1
    )
    target = torch.cat([wobbly, torch.zeros(1, 3)]).T.reshape(1, 3, 1, 41)
    assert task.categorise(target).flatten().tolist() == [*range(40), 255]


def test_labels_without_categories_say_so():
    task = Disparity(name="disparity")
    assert task.output.categories is None
    with pytest.raises(ValueError, match=r"The labels of `disparity` \(disparity\) do not fall into categories"):
        task.categorise(torch.ones(1, 1, 2, 2))
