"""One of the two processes that `test_two_processes.py` starts: measures its share of the images."""

import json
import sys
from pathlib import Path

import torch
from torch import Tensor, distributed

from equipoise import metrics

EDGES = {"max_distance": 0.1, "thresholds": 5}
COLLECTIONS = {
    "classes": {"miou": metrics.MeanIoU(4), "pixel_accuracy": metrics.PixelAccuracy(4)},
    "depths": {
        "rmse": metrics.DepthRMSE(),
        "abs": metrics.AbsoluteError(above=0),
        "abs_rel": metrics.RelativeError(),
        **{f"delta{power}": metrics.DepthWithin(power) for power in (1, 2, 3)},
    },
    "normals": {"merr": metrics.AngularError(), "median": metrics.MedianAngle(), "within": metrics.AngleWithin(30)},
    "edges": {"odsf": metrics.OdsF(**EDGES), "oisf": metrics.OisF(**EDGES), "ap": metrics.EdgePrecision(**EDGES)},
    "saliency": {"maxf": metrics.MaxF(), "max_mean_f": metrics.MaxMeanF(), "mae": metrics.MapError()},
    "numbers": {"mae": metrics.AbsoluteError(factor=2.5), "mse": metrics.LabelledMSE()},
}


def batches(images: slice) -> dict[str, tuple[Tensor, Tensor]]:
    """Predictions and targets of the chosen ones of five images. Only the first three have normals."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(5, *shape, generator=generator)

    labels = torch.randint(0, 4, (5, 12, 10), generator=generator)
    labels[0] = 255
    normals = noise(3, 12, 10)
    normals[3:] = 0
    yes_or_no = noise(1, 12, 10).sigmoid(), (noise(1, 12, 10) > 1).float()
    everything = {
        "classes": (noise(4, 12, 10), labels),
        "depths": (noise(1, 12, 10).abs(), noise(1, 12, 10)),
        "normals": (normals + 0.5 * noise(3, 12, 10), normals),
        "edges": yes_or_no,
        "saliency": yes_or_no,
        "numbers": (noise(1), noise(1)),
    }
    return {name: (prediction[images], target[images]) for name, (prediction, target) in everything.items()}


def measure(images: slice) -> dict[str, float]:
    """All metrics over the chosen images, by `collection.metric`."""
    found = {}
    for name, (prediction, target) in batches(images).items():
        collection = metrics.collect(COLLECTIONS[name])
        collection.update(prediction, target)
        found |= {f"{name}.{key}": value.item() for key, value in collection.compute().items()}
        collection.reset()
    return found


if __name__ == "__main__":
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    distributed.init_process_group("gloo", init_method=(folder / "meeting").as_uri(), rank=rank, world_size=2)
    measured = measure(slice(0, 3) if rank == 0 else slice(3, 5))
    (folder / f"{rank}.json").write_text(json.dumps(measured))
    distributed.destroy_process_group()
