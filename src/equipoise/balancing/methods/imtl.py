"""IMTL: IMTL-G on the gradients of the losses that IMTL-L has scaled."""

from typing import Literal, Unpack

import torch
from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import Place
from equipoise.balancing.decision import Decision
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import edm, imtl, imtl_l
from equipoise.balancing.gram_balancer import GramBalancer
from equipoise.balancing.learner import Learner
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class IMTL(GramBalancer):
    """Weights alpha_i exp(s_i) with learnt s_i, and the alpha of IMTL-G for the gradients exp(s_i) g_i.

    The s_i are those of IMTL-L: they are trained in here on exp(s_i) L_i - s_i, without alpha and without weight decay,
    from their values at the step's start. They change the length of the shared update and what the heads receive, not
    the update's direction. What is said there about public optimisers, and of IMTL-G about uphill steps, holds here.

    Args:
        learning_rate: Of the s_i.
        optimizer: "adam" or "sgd".
        bound: The largest magnitude of an s_i.
        measure_at: Where the gradients are looked at. P2's code has the features.
        scale_heads: Whether the tasks' own parameters receive the gradient of the scaled loss, with the weight
            exp(s_i), or the plain one.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.IMTL().backward({"a": 2 * x[0], "b": x[1]}).weights
        {'a': tensor(0.3333), 'b': tensor(0.6667)}
    """

    record = Method(
        name="imtl",
        title="IMTL",
        paper='Liu et al., "Towards Impartial Multi-task Learning", ICLR 2021, loss and gradient balance',
        sees=Source.SHARED,
        scale="absolute: by the scales; the alpha sum to 1",
        heads="scaled by exp(s), without alpha",
        state="logarithmic scales and their moments, count of unsolved steps",
        sources={
            "learning_rate": "that of UW in nash-mtl; elsewhere the model's",
            "optimizer": "P2's code",
            "bound": "our choice, against the overflow that P2 met",
            "measure_at": "paper, which also has the features",
            "scale_heads": "paper",
        },
    )
    mean_type = True

    def __init__(
        self,
        *,
        learning_rate: float = 0.025,
        optimizer: Literal["adam", "sgd"] = "adam",
        bound: float = 20.0,
        measure_at: Place = "shared",
        scale_heads: bool = True,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(measure_at=measure_at, scale_heads=scale_heads, **common)
        self.learner = Learner(learning_rate, optimizer, 0.0, bound)
        self.memory = {"scales": self.learner.start()}

    def solve(self, evidence: Evidence, gram: Tensor) -> Tensor:
        """The weights of the shared update."""
        return imtl(gram, self.learner.values(self.memory["scales"], evidence.tasks, gram))

    def fallback(self, gram: Tensor) -> Tensor:
        """EDM's weights, which have equal projections wherever that is possible without an uphill step."""
        return edm(gram)

    def decide(self, evidence: Evidence) -> Decision:
        """The weights before the step of the scales, which is then made."""
        weights = self.weigh(evidence).to(evidence.losses)
        scales = self.learner.values(self.memory["scales"], evidence.tasks, evidence.losses)
        heads, gradient = imtl_l(evidence.losses, scales)
        learned = self.learner.learned(self.memory["scales"], evidence.tasks, gradient)
        self.memory = self.memory | {"scales": learned}
        return Decision(weights, head_weights=heads if self.scale_heads else torch.ones_like(heads))
