"""UW: weights from learnt uncertainties of the tasks."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.weights import WeightBalancer
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import FINITE, FINITE_POSITIVE, POSITIVE, Rule, each, hyper
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.state.adam import TaskOptimizer

__all__ = ["UW", "uw"]

Kind = Literal["regression", "classification"]

_FACTORS = {"regression": 1.0, "classification": 2.0}


@torch.no_grad()
def uw(losses: Tensor, log_variances: Tensor) -> tuple[Tensor, Tensor]:
    r"""Weights of UW (Kendall et al., CVPR 2018), and the gradient of its objective for the learnt variances.

    $$
    O = \sum_i \tfrac12 e^{-s_i} L_i + \tfrac12 s_i,\quad w_i = \tfrac12 e^{-s_i},
    \quad \frac{\partial O}{\partial s_i} = \tfrac12 \big(1 - e^{-s_i} L_i\big)
    $$

    This is the regression form for every task, as in most codes. Others weight classification losses twice as much. The
    stationary point is $e^{s_i} = L_i$, so losses must be positive. Do not decay `s`.

    Args:
        losses: Losses, shape `[T]`.
        log_variances: `s`, shape `[T]`.

    Returns:
        The weights and the gradient for `log_variances`, each of shape `[T]`.

    Example:
        >>> import torch
        >>> uw(torch.tensor([1.0, 4.0]), torch.zeros(2))
        (tensor([0.5000, 0.5000]), tensor([ 0.0000, -1.5000]))
    """
    weights = 0.5 * (-log_variances).exp()
    return weights, 0.5 - weights * losses


@register
class UW(WeightBalancer):
    """Weights w_i = k_i exp(-s_i) / 2 with learnt log-variances s_i. The objective is sum_i w_i L_i + s_i / 2.

    k_i is 1 for regression and 2 for classification (Kendall et al., equations 7 and 10). LibMTL, nash-mtl, TorchJD and
    MTAN use the regression form for every task, which is the default here. SamsungLabs uses the other form for every
    task. UniversalRepresentations distinguishes the kinds. The objective is stationary at exp(s_i) = k_i L_i.

    The balancer trains the s_i, without weight decay. A step uses their values before its update. In public code they
    are parameters of the model's optimiser, and get its learning rate and its weight decay, which pulls them to zero.
    nash-mtl trains them at 0.025 without decay. Losses should be positive. For others s falls until its bound.

    Args:
        kinds: "regression" or "classification" by task. Tasks that are not named count as regression.
        initial: Initial s_i. LibMTL and UniversalRepresentations start at -0.5, Auto-Lambda at -0.7.
        learning_rate: Learning rate of the s_i.
        optimizer: "adam" or "sgd".
        bound: Largest magnitude of an s_i.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.UW().backward({"a": x.sum(), "b": (x * x).sum()}).weights
        {'a': tensor(0.5000), 'b': tensor(0.5000)}
    """

    info = MethodInfo(
        name="uw",
        title="Uncertainty weighting",
        paper='Kendall et al., "Multi-Task Learning Using Uncertainty to Weigh Losses", CVPR 2018',
        default_place=Place.LOSSES,
        scale="absolute: at rest every weighted loss is 1/2",
        state="log-variances and their moments",
    )

    kinds: Mapping[str, Kind] = hyper(
        default_factory=dict,
        rule=each(Rule(f"be one of {', '.join(_FACTORS)}", lambda kind: kind in _FACTORS)),
        source="LibMTL, nash-mtl, TorchJD, MTAN: regression for all",
    )
    initial: float = hyper(default=0.0, rule=FINITE, source="nash-mtl, TorchJD")
    learning_rate: float = hyper(default=0.025, rule=FINITE_POSITIVE, source="nash-mtl; elsewhere the model's")
    optimizer: Literal["adam", "sgd"] = hyper(default="adam", source="nash-mtl")
    bound: float = hyper(default=20.0, rule=POSITIVE, source="our choice, against overflow")

    @cached_property
    def _optimizer(self) -> TaskOptimizer:
        """Optimiser of the log-variances."""
        return TaskOptimizer(self.learning_rate, self.optimizer, self.initial, self.bound)

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return self._optimizer.initial_state()

    def weigh(self, inputs: StepInputs) -> Tensor:
        """Return the weights, then take a step of the log-variances."""
        losses = inputs.losses
        factors = losses.new_tensor(
            [_FACTORS[self.kinds[task]] if task in self.kinds else 1.0 for task in inputs.tasks]
        )
        weights, gradient = uw(factors * losses, self._optimizer.values(self.state, inputs.tasks, losses))
        self.state = self._optimizer.step(self.state, inputs.tasks, gradient)
        return factors * weights
