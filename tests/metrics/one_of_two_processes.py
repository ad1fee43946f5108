"""One of the two processes that `test_two_processes.py` starts: measures its share of the images."""

import json
import sys
from pathlib import Path

import torch
from torch import distributed

from equipoise.metrics import AngularError, DepthRMSE, MeanIoU, OdsF


def batches(images: slice) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Predictions and targets of the chosen ones of five images. Only the first three have normals."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (5, 12, 10), generator=generator)
    labels[0] = 255
    normals = torch.randn(5, 3, 12, 10, generator=generator)
    normals[3:] = 0
    everything = {
        "miou": (torch.randn(5, 4, 12, 10, generator=generator), labels),
        "rmse": (torch.rand(5, 1, 12, 10, generator=generator), torch.randn(5, 1, 12, 10, generator=generator)),
        "merr": (torch.randn(5, 3, 12, 10, generator=generator), normals),
        "odsf": (
            torch.rand(5, 1, 12, 10, generator=generator),
            (torch.rand(5, 1, 12, 10, generator=generator) < 0.2).float(),
        ),
    }
    return {name: (prediction[images], target[images]) for name, (prediction, target) in everything.items()}


def measure(images: slice) -> dict[str, float]:
    metrics = {
        "miou": MeanIoU(4),
        "rmse": DepthRMSE(),
        "merr": AngularError(),
        "odsf": OdsF(max_distance=0.1, thresholds=5),
    }
    for name, (prediction, target) in batches(images).items():
        metrics[name].update(prediction, target)
    result = {name: metric.compute().item() for name, metric in metrics.items()}
    return result | {"ois": metrics["odsf"].scores().ois_f}


if __name__ == "__main__":
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    distributed.init_process_group("gloo", init_method=(folder / "meeting").as_uri(), rank=rank, world_size=2)
    measured = measure(slice(0, 3) if rank == 0 else slice(3, 5))
    (folder / f"{rank}.json").write_text(json.dumps(measured))
    distributed.destroy_process_group()
