"""Fixed weights, as a search or an earlier run gave them."""

import math
from collections.abc import Mapping
from typing import Unpack

from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import WeightBalancer
from equipoise.balancing.checks import require
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class Fixed(WeightBalancer):
    """Constant weights w_i: the loss is sum_i w_i L_i.

    P1's searched weights are `{"seg": 1, "depth": 1, "normals": 2, "edge": 50}` on NYUD-v2 and
    `{"seg": 1, "parts": 2, "saliency": 5, "normals": 5, "edge": 50}` on PASCAL-Context.

    Args:
        weights: A finite weight, zero or more, for every task that will have a loss.

    Raises:
        ValueError: No weights, or one is negative or not finite; on `backward`, a task has no weight.

    Example:
        >>> import torch, equipoise
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> balancer = equipoise.Fixed(weights={"a": 10.0, "b": 0.5})
        >>> _ = balancer.backward({"a": x.sum(), "b": (x * x).sum()})
        >>> x.grad
        tensor([11., 12.])
    """

    record = Method(
        name="fixed",
        title="Fixed weights",
        paper="grid search in P1 (Guo et al. 2025, section V); distilled from a run in P2 (Gama and Grassi 2025)",
        sees=Source.LOSSES,
        scale="as the weights say",
    )

    def __init__(self, *, weights: Mapping[str, float], **common: Unpack[Common]) -> None:
        super().__init__(**common)
        require(len(weights) > 0, "weights", weights, "hold a weight for every task")
        for task, weight in weights.items():
            usable = math.isfinite(weight) and weight >= 0
            require(usable, f"weights[{task!r}]", weight, "be a finite number, zero or more")
        self.weights = dict(weights)

    def weigh(self, evidence: Evidence) -> Tensor:
        """The given weights, in the order of the losses."""
        missing = [task for task in evidence.tasks if task not in self.weights]
        require(not missing, "weights", self.weights, f"hold a weight for every task, also for {', '.join(missing)}")
        return evidence.losses.new_tensor([self.weights[task] for task in evidence.tasks])
