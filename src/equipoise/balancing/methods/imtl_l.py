"""IMTL-L: learn scales that bring every loss to 1."""

from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.weights import WeightBalancer
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import FINITE_POSITIVE, POSITIVE, hyper
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.state.adam import TaskOptimizer

__all__ = ["IMTLL", "imtl_l"]


@torch.no_grad()
def imtl_l(losses: Tensor, log_scales: Tensor) -> tuple[Tensor, Tensor]:
    r"""Weights of IMTL-L (Liu et al., ICLR 2021), and the gradient of its objective for the learnt scales.

    $$
    O = \sum_i e^{s_i} L_i - s_i,\qquad w_i = e^{s_i},\qquad \frac{\partial O}{\partial s_i} = e^{s_i} L_i - 1
    $$

    Losses must be positive: $s_i$ tends to $-\log L_i$. Do not decay `s`, and bound it, since it grows without end for
    a loss of zero.

    Args:
        losses: Losses, shape `[T]`.
        log_scales: `s`, shape `[T]`.

    Returns:
        The weights and the gradient for `log_scales`, each of shape `[T]`.

    Example:
        >>> import torch
        >>> imtl_l(torch.tensor([1.0, 4.0]), torch.zeros(2))
        (tensor([1., 1.]), tensor([0., 3.]))
    """
    weights = log_scales.exp()
    return weights, weights * losses - 1


@register
class IMTLL(WeightBalancer):
    """Weights w_i = exp(s_i) with learnt s_i. The objective is sum_i exp(s_i) L_i - s_i.

    At rest every weighted loss is 1. This is UW with the opposite sign of s and twice the weight.

    The balancer trains the s_i, without weight decay. In public code they are parameters of the model's optimiser, with
    its weight decay (LibMTL), or have their own Adam at the model's learning rate (code of Gama & Grassi 2025). Pass
    the model's rate as `learning_rate` to reproduce the latter. Losses should be positive. For others s grows until its
    bound.

    Args:
        learning_rate: Learning rate of the s_i.
        optimizer: "adam" or "sgd".
        bound: Largest magnitude of an s_i.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.IMTLL().backward({"a": x.sum(), "b": (x * x).sum()}).weights
        {'a': tensor(1.), 'b': tensor(1.)}
    """

    info = MethodInfo(
        name="imtl_l",
        title="IMTL-L",
        paper='Liu et al., "Towards Impartial Multi-task Learning", ICLR 2021, loss balance',
        default_place=Place.LOSSES,
        scale="absolute: at rest every weighted loss is 1",
        state="logarithmic scales and their moments",
    )

    learning_rate: float = hyper(
        default=0.025, rule=FINITE_POSITIVE, source="that of UW in nash-mtl; elsewhere the model's"
    )
    optimizer: Literal["adam", "sgd"] = hyper(default="adam", source="code of Gama & Grassi 2025")
    bound: float = hyper(
        default=20.0, rule=POSITIVE, source="our choice, against the overflow met by Gama & Grassi 2025"
    )

    @cached_property
    def _optimizer(self) -> TaskOptimizer:
        """Optimiser of the logarithmic scales."""
        return TaskOptimizer(self.learning_rate, self.optimizer, 0.0, self.bound)

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return self._optimizer.initial_state()

    def weigh(self, inputs: StepInputs) -> Tensor:
        """Return the weights, then take a step of the scales."""
        scales = self._optimizer.values(self.state, inputs.tasks, inputs.losses)
        weights, gradient = imtl_l(inputs.losses, scales)
        self.state = self._optimizer.step(self.state, inputs.tasks, gradient)
        return weights
