"""Mean absolute error of maps of probabilities."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class MapError(Metric):
    """Mean over labelled pixels of `|p - t|`, as a fraction: the "MAE" of work on saliency.

    Pixels are pooled over the data set; the saliency toolboxes average over images, which is the same where all have
    as many pixels.

    Args:
        ignore_index: Value of unlabelled pixels in a target, left out.

    Raises:
        ValueError: From `update` when the shapes differ.

    Example:
        >>> metric = MapError()
        >>> metric.update(torch.tensor([[[[0.75, 0.5, 0.9]]]]), torch.tensor([[[[1.0, 0.0, 255.0]]]]))
        >>> metric.compute().item()
        0.375
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    difference: Tensor
    labelled: Tensor

    def __init__(self, ignore_index: float = 255, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ignore_index = ignore_index
        self.add_state("difference", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("labelled", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Adds a batch: probabilities against 0, 1 or `ignore_index`, `[B, 1, H, W]`."""
        if prediction.shape != target.shape:
            raise ValueError(
                f"`prediction` should have the shape of `target`. Found `prediction.shape = "
                f"{tuple(prediction.shape)}` and `target.shape = {tuple(target.shape)}`."
            )
        labelled = target != self.ignore_index
        difference = torch.where(labelled, prediction.double() - target.double(), 0.0)
        self.difference += difference.abs().sum()
        self.labelled += labelled.sum()

    def compute(self) -> Tensor:
        """The mean error, float64; nan when no pixel was labelled."""
        return self.difference / self.labelled
