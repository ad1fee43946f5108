"""The trained network of a run."""

from pathlib import Path

import torch
from torch import Tensor, nn

from equipoise import data
from equipoise.tasks import Task
from equipoise.training import read_result
from equipoise.training.checkpoints import load_network


class TrainedNetwork(nn.Module):
    """The network of the best checkpoint of a run, frozen and in evaluation mode.

    It can be traced and exported: `torch.jit.trace(network, images, strict=False)`, `torch.export.export(network,
    (images,))`.

    Args:
        directory: The directory of a finished run.
        device: The device of the network; the CPU by default.

    Attributes:
        tasks: The tasks by name.
        network: The network itself, which takes normalised images and returns `equipoise.models.Outputs`.

    Raises:
        ValueError: The run is not finished, or its checkpoint does not fit its configuration.
    """

    def __init__(self, directory: Path, device: torch.device | str | None = None) -> None:
        super().__init__()
        self.network, self._adapt = load_network(directory, None if device is None else torch.device(device))
        result = read_result(directory)
        assert result is not None
        config = result.config
        self.tasks: dict[str, Task] = config.data.tasks(config.tasks)
        statistics = data.dataset_class(config.data.name).statistics
        self._normalises = statistics is not None
        mean, std = statistics or ((0.0,), (1.0,))
        for name, values in (("_mean", mean), ("_std", std)):
            self.register_buffer(name, torch.tensor(values, device=device).view(1, -1, 1, 1), persistent=False)
        self.eval()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the raw prediction of every task, such as logits.

        Args:
            images: `[B, 3, H, W]` in [0, 1].

        Returns:
            `[B, channels, H, W]` by task, or `[B, channels]` for a task that is not dense.
        """
        normalised = (images - self.get_buffer("_mean")) / self.get_buffer("_std")
        return self.network(normalised, self._adapt).predictions

    @torch.no_grad()
    def predict(self, images: Tensor) -> dict[str, Tensor]:
        """Return the prediction of every task in the encoding of its labels, such as classes or metres.

        A yes or no is a probability.

        Args:
            images: `[B, 3, H, W]` in [0, 1].

        Raises:
            ValueError: The images are bytes, or a batch in another range.
        """
        if self._normalises and (not images.is_floating_point() or float(images.max()) > 2):
            raise ValueError(
                "`images` should be floating-point numbers in [0, 1]. "
                f"Found {images.dtype} up to {float(images.max()):g}. Divide bytes by 255."
            )
        predictions = self(images)
        return {name: task.activate(predictions[name].float()) for name, task in self.tasks.items()}
