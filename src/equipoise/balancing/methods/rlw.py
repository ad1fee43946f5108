"""RLW: new random loss weights in every step."""

from typing import Any, Literal

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.weights import WeightBalancer
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import SEED, hyper
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.state.random import draw, generator_state

__all__ = ["RLW", "rlw"]


@torch.no_grad()
def rlw(draws: Tensor) -> Tensor:
    r"""Weights of RLW (Lin et al., TMLR 2022): $w = \mathrm{softmax}(z)$ with new draws `z` in every step.

    They are positive and sum to 1, so that the expected update is that of the mean loss. Some codes multiply by the
    number of tasks.

    Args:
        draws: `z`, one draw for each task, shape `[T]`. By default the paper draws from the standard normal
            distribution.

    Returns:
        Weights, shape `[T]`.

    Example:
        >>> import torch
        >>> rlw(torch.tensor([0.0, 0.0]))
        tensor([0.5000, 0.5000])
    """
    return draws.softmax(0)


def _normal(tasks: int, generator: torch.Generator) -> Tensor:
    return torch.randn(tasks, dtype=torch.float64, generator=generator)


def _dirichlet(tasks: int, generator: torch.Generator) -> Tensor:
    # Exponential draws, divided by their sum, are uniform on the simplex.
    return torch.empty(tasks, dtype=torch.float64).exponential_(generator=generator).log()


_LOGITS = {"normal": _normal, "dirichlet": _dirichlet}


@register
class RLW(WeightBalancer):
    """Weights w = softmax(z), with z drawn from the standard normal distribution in every step.

    They sum to 1, as in LibMTL, nash-mtl and TorchJD. The code of Gama & Grassi (2025) multiplies by the number of
    tasks (`reduction="sum"`), and also draws from the flat Dirichlet distribution.

    Args:
        distribution: "normal" for the softmax of normal draws, "dirichlet" for uniform draws from the simplex.
        reduction: "mean" for weights that sum to 1, "sum" for weights that sum to the number of tasks.
        seed: Seed of the method's own random generator. Checkpoints hold its state, and all processes share it.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> weights = equipoise.RLW(seed=1).backward({"a": x.sum(), "b": (x * x).sum()}).weights
        >>> float(weights["a"] + weights["b"])
        1.0
    """

    info = MethodInfo(
        name="rlw",
        title="Random loss weighting",
        paper='Lin et al., "Reasonable Effectiveness of Random Weighting", TMLR 2022',
        default_place=Place.LOSSES,
        scale="mean: the weights sum to 1",
        state="random generator",
    )

    distribution: Literal["normal", "dirichlet"] = hyper(
        default="normal", source="paper: normal; Gama & Grassi 2025 also Dirichlet"
    )
    reduction: Literal["mean", "sum"] = hyper(default="mean", source="paper: weights sum to 1")
    seed: int = hyper(default=0, rule=SEED, source="our choice")

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"generator": generator_state(self.seed)}

    def weigh(self, inputs: StepInputs) -> Tensor:
        """Draw new weights."""
        tasks = len(inputs.tasks)
        sample = _LOGITS[self.distribution]
        logits, state = draw(self.state["generator"], lambda g: sample(tasks, g), inputs.losses.device)
        self.state = {"generator": state}
        return rlw(logits) * (tasks if self.reduction == "sum" else 1)
