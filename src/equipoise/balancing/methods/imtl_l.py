"""IMTL-L: learnt scales that bring every loss to 1."""

from typing import Literal, Unpack

from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import WeightBalancer
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import imtl_l
from equipoise.balancing.learner import Learner
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class IMTLL(WeightBalancer):
    """Weights w_i = exp(s_i) with learnt s_i; the objective is sum_i exp(s_i) L_i - s_i.

    At rest every weighted loss is 1. That is UW with the opposite sign of s and twice the weight.

    The s_i are trained in here, without weight decay. In public code they are parameters of the model's optimiser, with
    its weight decay (LibMTL), or have an Adam of their own at the model's learning rate (P2's code): pass that as
    `learning_rate` to reproduce them. Losses should be positive: for others s grows until its bound.

    Args:
        learning_rate: Of the s_i.
        optimizer: "adam" or "sgd".
        bound: The largest magnitude of an s_i.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.IMTLL().backward({"a": x.sum(), "b": (x * x).sum()}).weights
        {'a': tensor(1.), 'b': tensor(1.)}
    """

    record = Method(
        name="imtl_l",
        title="IMTL-L",
        paper='Liu et al., "Towards Impartial Multi-task Learning", ICLR 2021, loss balance',
        sees=Source.LOSSES,
        scale="absolute: at rest every weighted loss is 1",
        state="logarithmic scales and their moments",
        sources={
            "learning_rate": "that of UW in nash-mtl; elsewhere the model's",
            "optimizer": "P2's code",
            "bound": "our choice, against the overflow that P2 met",
        },
    )

    def __init__(
        self,
        *,
        learning_rate: float = 0.025,
        optimizer: Literal["adam", "sgd"] = "adam",
        bound: float = 20.0,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.learner = Learner(learning_rate, optimizer, 0.0, bound)
        self.memory = self.learner.start()

    def weigh(self, evidence: Evidence) -> Tensor:
        """The weights before the step of the scales, which is then made."""
        scales = self.learner.values(self.memory, evidence.tasks, evidence.losses)
        weights, gradient = imtl_l(evidence.losses, scales)
        self.memory = self.learner.learned(self.memory, evidence.tasks, gradient)
        return weights
