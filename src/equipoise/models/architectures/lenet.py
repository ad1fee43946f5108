"""LeNet, for small images of digits."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from equipoise._core.registry import register
from equipoise.models.base import Adapt, MultiTaskModel, Outputs, unchanged
from equipoise.tasks import Output

WIDTH = 50
"""Length of the vector that the tasks read."""


@register("lenet")
class LeNet(MultiTaskModel):
    """The network of Gama & Grassi (2025) for Multi-MNIST; its trunk has 21,330 parameters.

    Trunk: 5x5 convolution to 10 channels, max pooling by 2, ReLU; 5x5 convolution to 20, dropout, max pooling by 2,
    ReLU; a linear layer to 50, ReLU. A task with one answer for the image gets 50-50-ReLU-dropout-50-answers (the
    log-softmax that follows in the authors' code is part of our loss), a dense one 50-256-ReLU-dropout-pixels,
    unbounded. Multi-objective learning on Multi-MNIST began with this LeNet (Sener and Koltun, "Multi-Task Learning as
    Multi-Objective Optimization", NeurIPS 2018); their code drops whole channels, and the same ones for all tasks.

    Args:
        tasks: The output of each task.
        channels: Channels of the images.
        size: Height and width of the images.
        dropout: Probability of dropping a value; Gama & Grassi chose it between 0 and 0.5 for each problem.

    Raises:
        ValueError: The images are too small for two convolutions, or `dropout` is no probability.
    """

    default_backbone = None

    def __init__(
        self,
        tasks: Mapping[str, int | Output],
        *,
        channels: int = 1,
        size: tuple[int, int] = (28, 28),
        dropout: float = 0.0,
    ) -> None:
        super().__init__(tasks)
        if min(size) < 16:
            raise ValueError(f"`size` should be 16 or more both ways. Found `size = {tuple(size)}`.")
        self.size = tuple(size)
        rows, columns = (((side - 4) // 2 - 4) // 2 for side in size)
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 10, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(10, 20, 5),
            nn.Dropout(dropout),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.linear = nn.Linear(20 * rows * columns, WIDTH)
        for task, output in self.outputs.items():
            self.decoders[task] = (
                _head(256, output.channels * size[0] * size[1], dropout, (output.channels, *self.size))
                if output.dense
                else _head(WIDTH, output.channels, dropout, (output.channels,))
            )

    def forward(self, images: Tensor, adapt: Adapt = unchanged) -> Outputs:
        """Predict every task from [B, channels, H, W] of the size that the network was built for.

        Raises:
            ValueError: The images have another size.
        """
        if images.shape[-2:] != self.size:
            raise ValueError(
                f"`size` should be {tuple(images.shape[-2:])}, the size of the images. Found `size = {self.size}`."
            )
        shared = [self.linear(self.convolutions(images)).relu()]
        return Outputs({task: decoder(*adapt(task, shared)) for task, decoder in self.decoders.items()}, shared)

    def last_shared_layer(self) -> nn.Module:
        """Return the linear layer."""
        return self.linear


def _head(width: int, outputs: int, dropout: float, shape: tuple[int, ...]) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(WIDTH, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, outputs), nn.Unflatten(1, shape)
    )
