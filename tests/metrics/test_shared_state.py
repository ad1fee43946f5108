"""Metrics that are read from one state agree with those that keep their own."""

import pytest
import torch

from equipoise.metrics import AngularError, EdgePrecision, MeanIoU, MedianAngle, OdsF, OisF, PixelAccuracy, collect
from equipoise.tasks.depth import Depth
from equipoise.tasks.edges import Edges
from equipoise.tasks.saliency import Saliency
from equipoise.tasks.semantic_segmentation import SemanticSegmentation
from equipoise.tasks.surface_normals import SurfaceNormals

DENSE = {
    "seg": (SemanticSegmentation(name="seg", classes=("a", "b", "c")), lambda: torch.randint(3, (2, 9, 8))),
    "depth": (Depth(name="depth"), lambda: torch.rand(2, 1, 9, 8) + 0.5),
    "normals": (SurfaceNormals(name="normals"), lambda: torch.nn.functional.normalize(torch.randn(2, 3, 9, 8), dim=1)),
    "edge": (Edges(name="edge", max_distance=0.1, thresholds=5), lambda: (torch.rand(2, 1, 9, 8) < 0.2).float()),
    "saliency": (Saliency(name="saliency"), lambda: (torch.rand(2, 1, 9, 8) < 0.3).float()),
}


@pytest.mark.parametrize("name", DENSE)
def test_a_collection_measures_what_each_metric_measures_alone(name: str) -> None:
    torch.manual_seed(0)
    task, draw = DENSE[name]
    together, alone = collect(task.metrics()), task.metrics()
    # The first batch is all right or all wrong, so that many states agree after it.
    for batch in range(3):
        target = draw()
        output = torch.zeros(2, task.channels, 9, 8) if batch == 0 else torch.randn(2, task.channels, 9, 8)
        together.update(task.activate(output), target)
        for metric in alone.values():
            metric.update(task.activate(output), target)
    found = together.compute()
    assert found.keys() == alone.keys()
    for key, metric in alone.items():
        torch.testing.assert_close(found[key], metric.compute(), equal_nan=True)


def test_a_shared_state_is_updated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import equipoise.metrics.ods_f as module

    images = []
    count = module.boundary_counts
    monkeypatch.setattr(module, "boundary_counts", lambda *arguments: images.append(1) or count(*arguments))
    collection = collect({"odsf": OdsF(thresholds=3), "oisf": OisF(thresholds=3), "ap": EdgePrecision(thresholds=3)})
    for _ in range(2):
        collection.update(torch.rand(3, 1, 6, 6), torch.eye(6).expand(3, 1, 6, 6))
    assert len(images) == 6


def test_other_arguments_are_another_state() -> None:
    collection = collect({"with": PixelAccuracy(2, ignore_index=None), "without": MeanIoU(2), "angle": AngularError()})
    assert len(collection.compute_groups) == 3
    assert len(collect({"mean": AngularError(), "median": MedianAngle()}).compute_groups) == 1
