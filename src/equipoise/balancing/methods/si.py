"""SI: the sum of the logarithms of the losses."""

from typing import Unpack

import torch
from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import WeightBalancer
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import si
from equipoise.balancing.positive import positive_losses
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class SI(WeightBalancer):
    """Weights w_i = 1 / L_i: the loss is sum_i log L_i, and scaling a loss changes nothing.

    Baseline of the Nash-MTL paper. nash-mtl sums, P2's code takes the mean, SamsungLabs log(1 + L). A task whose loss
    is zero has the weight 0.

    Raises:
        ValueError: On `backward`, a loss is negative.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.SI().backward({"a": x.sum(), "b": 100 * x.sum()}).weights
        {'a': tensor(0.5000), 'b': tensor(0.0050)}
    """

    record = Method(
        name="si",
        title="Scale-invariant loss",
        paper='baseline of Navon et al., "Multi-Task Learning as a Bargaining Game", ICML 2022',
        sees=Source.LOSSES,
        scale="sum of logarithms: every weighted loss is 1",
    )

    def __init__(self, **common: Unpack[Common]) -> None:
        super().__init__(**common)

    def weigh(self, evidence: Evidence) -> Tensor:
        """The reciprocals of the losses."""
        positive = positive_losses(evidence, "si")
        return torch.where(positive, si(evidence.losses), torch.zeros_like(evidence.losses))
