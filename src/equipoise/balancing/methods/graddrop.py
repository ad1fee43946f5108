"""GradDrop: at every coordinate, only the gradients of one sign."""

from typing import Literal, Unpack

import torch
from torch import Tensor

from equipoise.balancing import processes
from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import DirectionBalancer
from equipoise.balancing.checks import require
from equipoise.balancing.draws import draw, first_state
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import graddrop
from equipoise.balancing.functional.graddrop import graddrop_mask
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class GradDrop(DirectionBalancer):
    """Keeps, at every coordinate, either the positive or the negative task gradients.

    The positive ones with the probability P = (1 + sum_i g_i / sum_i |g_i|) / 2, else the negative ones. At the shared
    parameters this happens entry by entry, as in most public codes (CAGrad's, FAMO's, TorchJD); draws follow the order
    in which the parameters are found. The paper does it at the features (`measure_at="features"`): a task's sign at a
    feature is that of its gradient times the activation, summed over the batch (the first axis) of all processes, and
    one draw serves all samples. Several tensors of features are treated one by one.

    The tasks' own parameters receive their plain gradient. UnitScal and lingvo stretch the result to the norm of the
    plain sum; SamsungLabs makes one draw for the whole tensor and inverts the leak.

    Args:
        leak: Share of a dropped gradient that passes, in [0, 1].
        seed: Of the method's own generator, which a checkpoint holds and all processes share.
        measure_at: "shared" or "features".

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(3, requires_grad=True)
        >>> _ = equipoise.GradDrop().backward({"a": x.sum(), "b": 2 * x[:2].sum() - x[2]})
        >>> x.grad[:2], x.grad[2].abs()  # the third is 1 or -1
        (tensor([3., 3.]), tensor(1.))
    """

    record = Method(
        name="graddrop",
        title="Gradient sign dropout",
        paper='Chen et al., "Just Pick a Sign", NeurIPS 2020, algorithm 1',
        sees=Source.SHARED,
        scale="sum: T identical tasks give T times the gradient of one",
        heads="plain",
        state="random generator",
        sources={
            "leak": "paper",
            "seed": "our choice",
            "measure_at": "CAGrad's and FAMO's code, TorchJD (paper: features)",
        },
        weighs=False,
    )

    def __init__(
        self,
        *,
        leak: float = 0.0,
        seed: int = 0,
        measure_at: Literal["features", "shared"] = "shared",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(measure_at=measure_at, **common)
        require(0 <= leak <= 1, "leak", leak, "be in [0, 1]")
        self.leak = leak
        self.memory = {"generator": first_state(seed)}

    def direct(self, evidence: Evidence) -> Tensor:
        """The kept gradients, with draws made first."""
        if evidence.features:
            parts = evidence.rows.split([feature.numel() for feature in evidence.features], dim=1)
            pairs = zip(parts, evidence.features, strict=True)
            return torch.cat([self._at_features(rows, feature) for rows, feature in pairs])
        return graddrop(evidence.rows, self._uniforms(evidence.rows[0]), self.leak)

    def _at_features(self, rows: Tensor, feature: Tensor) -> Tensor:
        gradients = rows.view(len(rows), len(feature), -1)
        signs = feature.sign().reshape(len(feature), -1).to(rows)
        signed = (gradients * signs).sum(1)
        processes.sum_(signed)
        kept = graddrop_mask(signed, self._uniforms(signed[0])).to(rows)
        passed = self.leak + (1 - self.leak) * kept
        return (gradients * passed[:, None]).sum(0).view(-1)

    def _uniforms(self, like: Tensor) -> Tensor:
        uniforms, state = draw(
            self.memory["generator"], lambda generator: torch.rand(len(like), generator=generator), like.device
        )
        self.memory = {"generator": state}
        return uniforms.to(like)
