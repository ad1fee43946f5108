"""What metrics share that are read from a confusion matrix."""

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor

from equipoise.metrics.confusion import confusion_matrix
from equipoise.metrics.shared_state import SharedState


class ConfusionMetric(SharedState):
    """Sums the confusion matrix of a data set; a subclass says in `compute` what it reads from it.

    Args:
        num_classes: Number of classes, background included.
        ignore_index: Value of unlabelled pixels in a target, left out. `None` when every pixel is labelled.

    Raises:
        ValueError: For fewer than one class.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    matrix: Tensor
    outside: Tensor

    def __init__(self, num_classes: int, ignore_index: int | None = 255, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_classes < 1:
            raise ValueError(f"`num_classes` should be at least 1. Found `num_classes = {num_classes}`.")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.add_state("matrix", torch.zeros(num_classes, num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("outside", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def state_key(self) -> Hashable:
        """The arguments."""
        return ConfusionMetric, self.num_classes, self.ignore_index

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Adds a batch: scores `[B, C, H, W]` or classes `[B, H, W]`, against classes `[B, H, W]`.

        Raises ValueError when the shapes do not fit.
        """
        matrix, outside = confusion_matrix(prediction, target, self.num_classes, self.ignore_index)
        self.matrix += matrix
        self.outside += outside

    def checked_matrix(self) -> Tensor:
        """The matrix, int64 `[C, C]`, rows are true classes.

        Raises ValueError when a labelled pixel had a true or predicted class outside `0 .. num_classes - 1`.
        """
        if self.outside > 0:
            raise ValueError(
                f"Labels and predictions should be in 0 .. {self.num_classes - 1}. Found {int(self.outside)} pixels "
                f"outside: raise `num_classes`, or write {self.ignore_index} in `target` where there is no label."
            )
        return self.matrix
