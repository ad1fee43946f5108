"""GLS: the geometric mean of the losses."""

from typing import Unpack

import torch
from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import WeightBalancer
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import gls
from equipoise.balancing.positive import positive_losses
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class GLS(WeightBalancer):
    """Weights w_i = L / (T L_i) with L the geometric mean of the losses, which is what is minimised.

    Scaling a loss changes the length of the update and not its direction, which is that of SI. LibMTL multiplies the
    losses first, which leaves the range of float32 for many tasks; here they are added as logarithms. A task whose loss
    is zero has the weight 0 and does not count.

    Raises:
        ValueError: On `backward`, a loss is negative.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.GLS().backward({"a": 0.5 * x.sum(), "b": 2 * x.sum()}).weights
        {'a': tensor(1.), 'b': tensor(0.2500)}
    """

    record = Method(
        name="gls",
        title="Geometric loss strategy",
        paper='Chennupati et al., "MultiNet++", CVPRW 2019',
        sees=Source.LOSSES,
        scale="mean: T identical tasks give the gradient of one",
    )

    def __init__(self, **common: Unpack[Common]) -> None:
        super().__init__(**common)

    def weigh(self, evidence: Evidence) -> Tensor:
        """The derivatives of the geometric mean."""
        positive = positive_losses(evidence, "gls")
        weights = torch.zeros_like(evidence.losses)
        weights[positive] = gls(evidence.losses[positive])
        return weights
