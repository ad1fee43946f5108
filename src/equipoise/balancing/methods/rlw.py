"""RLW: random loss weights, anew at every step."""

from typing import Literal, Unpack

import torch
from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import WeightBalancer
from equipoise.balancing.checks import require
from equipoise.balancing.draws import draw, first_state
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import rlw
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class RLW(WeightBalancer):
    """Weights w = softmax(z) with z drawn from the standard normal distribution at every step.

    They sum to 1, as in LibMTL, nash-mtl and TorchJD. P2's code multiplies by the number of tasks (`reduction="sum"`)
    and also draws from the flat Dirichlet distribution.

    Args:
        distribution: "normal" for the softmax of normal draws, "dirichlet" for uniform draws from the simplex.
        reduction: "mean" for weights that sum to 1, "sum" for weights that sum to the number of tasks.
        seed: Of the method's own generator, which a checkpoint holds and all processes share.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> weights = equipoise.RLW(seed=1).backward({"a": x.sum(), "b": (x * x).sum()}).weights
        >>> float(weights["a"] + weights["b"])
        1.0
    """

    record = Method(
        name="rlw",
        title="Random loss weighting",
        paper='Lin et al., "Reasonable Effectiveness of Random Weighting", TMLR 2022',
        sees=Source.LOSSES,
        scale="mean: the weights sum to 1",
        state="random generator",
        sources={
            "distribution": "paper: normal; P2 also Dirichlet",
            "reduction": "paper: weights sum to 1",
            "seed": "our choice",
        },
    )

    def __init__(
        self,
        *,
        distribution: Literal["normal", "dirichlet"] = "normal",
        reduction: Literal["mean", "sum"] = "mean",
        seed: int = 0,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        require(distribution in _LOGITS, "distribution", distribution, f"be one of {', '.join(_LOGITS)}")
        require(reduction in ("mean", "sum"), "reduction", reduction, "be 'mean' or 'sum'")
        self.distribution, self.reduction = distribution, reduction
        self.memory = {"generator": first_state(seed)}

    def weigh(self, evidence: Evidence) -> Tensor:
        """A fresh draw."""
        tasks = len(evidence.tasks)
        sample = _LOGITS[self.distribution]
        logits, state = draw(self.memory["generator"], lambda g: sample(tasks, g), evidence.losses.device)
        self.memory = {"generator": state}
        return rlw(logits) * (tasks if self.reduction == "sum" else 1)


def _normal(tasks: int, generator: torch.Generator) -> Tensor:
    return torch.randn(tasks, dtype=torch.float64, generator=generator)


def _dirichlet(tasks: int, generator: torch.Generator) -> Tensor:
    # Exponential draws, divided by their sum, are uniform on the simplex.
    return torch.empty(tasks, dtype=torch.float64).exponential_(generator=generator).log()


_LOGITS = {"normal": _normal, "dirichlet": _dirichlet}
