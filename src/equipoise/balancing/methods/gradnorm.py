"""GradNorm: train the weights so that gradient norms follow the training rates of the tasks."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.weights import GradientBalancer, MeasureAt
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import FINITE_NON_NEGATIVE, FINITE_POSITIVE, hyper
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.state.adam import TaskOptimizer
from equipoise.balancing.state.per_task import read_tasks, write_tasks

__all__ = ["GradNorm", "GradNormForces", "gradnorm", "gradnorm_renormalized"]


class GradNormForces(NamedTuple):
    """The result of GradNorm for one step.

    Attributes:
        targets: Norms that the weighted gradients should have, shape `[T]`.
        gradient: Gradient of GradNorm's own loss for the weights, shape `[T]`.
    """

    targets: Tensor
    gradient: Tensor


@torch.no_grad()
def gradnorm(
    losses: Tensor, initial_losses: Tensor, norms: Tensor, weights: Tensor, alpha: float = 1.5
) -> GradNormForces:
    r"""Targets of GradNorm (Chen et al., ICML 2018, algorithm 1) and the gradient for its weights.

    $$
    G_i = |w_i| n_i,\quad r_i = \frac{L_i / L_i(0)}{\tfrac1T \sum_j L_j / L_j(0)},\quad
    \hat G_i = r_i^\alpha\, \tfrac1T \sum_j G_j,\qquad
    \frac{\partial}{\partial w_i} \sum_k |G_k - \hat G_k| = \mathrm{sign}(w_i) \, \mathrm{sign}(G_i - \hat G_i)\,
    n_i
    $$

    The targets are constants. The model's step uses the weights before their own step. Apply `gradnorm_renormalized`
    after that. A task without an initial loss counts as training at the average rate.

    Args:
        losses: Losses of this step, positive, shape `[T]`.
        initial_losses: Losses of the first step, shape `[T]`.
        norms: Norms of the unweighted task gradients at the last shared layer, shape `[T]`.
        weights: Weights of this step, shape `[T]`.
        alpha: Strength of the pull towards equal training rates.

    Returns:
        The targets and the gradient.

    Example:
        >>> import torch
        >>> ones = torch.ones(2)
        >>> gradnorm(losses=ones, initial_losses=ones, norms=torch.tensor([1.0, 3.0]), weights=ones)
        GradNormForces(targets=tensor([2., 2.]), gradient=tensor([-1.,  3.]))
    """
    known = initial_losses > 0
    rates = torch.where(known, losses / initial_losses, torch.zeros_like(losses))
    average = rates.sum() / known.sum().clamp(min=1)
    relative = torch.where(known & (average > 0), rates / average, torch.ones_like(rates))
    scaled = weights.abs() * norms
    targets = relative**alpha * scaled.mean()
    return GradNormForces(targets, weights.sign() * (scaled - targets).sign() * norms)


@torch.no_grad()
def gradnorm_renormalized(weights: Tensor, floor: float = 1e-3) -> Tensor:
    """Scale the weights after their own step to sum to the number of tasks.

    Plain steps can make a weight negative. No source guards against that. Here the weights are clamped first.

    Args:
        weights: Weights after the step, shape `[T]`.
        floor: Least weight before normalisation, positive.

    Returns:
        Positive weights that sum to `T`, shape `[T]`.

    Example:
        >>> import torch
        >>> gradnorm_renormalized(torch.tensor([1.0, 3.0]))
        tensor([0.5000, 1.5000])
    """
    positive = weights.clamp(min=floor)
    return len(weights) * positive / positive.sum()


@register
class GradNorm(GradientBalancer):
    """Weights that pull the norms of the weighted gradients towards r_i^alpha times their mean.

    r_i = (L_i / L_i(0)) / mean_j(L_j / L_j(0)) is the task's inverse training rate, and L_i(0) its loss in the first
    step in which it was positive. The model's step uses the weights of the measurement. Then the weights take a step of
    their own on sum_i |w_i n_i - target_i|. They are kept above 0.001 and scaled to sum to the number of tasks. If a
    task is missing in a batch, only the others move, and keep their sum.

    A task whose gradient is zero does not move and does not count in the mean. In the first step of a ResNet from
    scratch this is so for every task at the last layer, and all weights stay as they are.

    UniversalRepresentations has this form. LibMTL takes w = T softmax(s), norms at all shared parameters and the mean
    loss of the first epoch as L(0), and leaves the heads unweighted. SamsungLabs multiplies the losses by weights
    without normalisation, and has alpha = 2. One public code creates a new Adam in every step.

    Args:
        alpha: Strength of the pull towards equal training rates. Guo et al. (2025) search 0.1 to 2.
        learning_rate: Learning rate of the weights.
        optimizer: "adam" or "sgd". The gradient for a weight is a gradient norm, so plain steps depend on its scale.
        measure_at: Where norms are measured.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Example:
        >>> import torch, equipoise
        >>> layer = torch.nn.Linear(2, 2, bias=False)
        >>> balancer = equipoise.GradNorm(learning_rate=0.5)
        >>> for _ in range(2):
        ...     a, b = layer(torch.ones(1, 2))[0].exp()
        ...     balance = balancer.backward({"weak": a, "strong": 100 * b}, last_layer=layer)
        >>> balance.weights
        {'weak': tensor(1.5000), 'strong': tensor(0.5000)}
    """

    info = MethodInfo(
        name="gradnorm",
        title="GradNorm",
        paper='Chen et al., "GradNorm: Gradient Normalization for Adaptive Loss Balancing", ICML 2018, algorithm 1',
        default_place=Place.LAST_LAYER,
        scale="sum: the weights sum to T",
        state="weights and their moments, first losses",
    )

    alpha: float = hyper(
        default=1.5,
        rule=FINITE_NON_NEGATIVE,
        source="paper, NYUv2 (0.12 in its toy problem)",
    )
    learning_rate: float = hyper(default=0.025, rule=FINITE_POSITIVE, source="paper")
    optimizer: Literal["adam", "sgd"] = hyper(default="adam", source="public codes")
    measure_at: MeasureAt = hyper(default="last_layer", source="paper, section 3")
    scale_heads: bool = hyper(default=True, source="paper: the loss is weighted")

    @cached_property
    def _optimizer(self) -> TaskOptimizer:
        """Optimiser of the weights."""
        return TaskOptimizer(self.learning_rate, self.optimizer, initial=1.0)

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"weights": self._optimizer.initial_state(), "first_losses": {}}

    def weigh(self, inputs: StepInputs) -> Tensor:
        """Return the weights, then take a step of those whose task has a gradient."""
        gram = inputs.gram
        if gram is None:
            raise TypeError("`place` should be a place of gradients for GradNorm. Found `Place.LOSSES`.")
        # In float64, so that ratios of losses cannot overflow. A negative loss has no training rate.
        losses = inputs.losses.double().clamp(min=0)
        held, optimizer = self.state["weights"], self._optimizer
        first = self._first_losses(inputs.tasks, losses)
        weights = optimizer.values(held, inputs.tasks, losses)
        moving = [task for task, norm in zip(inputs.tasks, gram.diagonal().tolist(), strict=True) if norm > 0]
        if moving:
            useful = gram.diagonal() > 0
            start = read_tasks(first, moving, torch.zeros_like(losses[0]))
            norms = gram.diagonal()[useful].sqrt()
            forces = gradnorm(losses[useful], start, norms, weights[useful], self.alpha)
            held = optimizer.step(held, moving, forces.gradient)
            moved = gradnorm_renormalized(optimizer.values(held, moving, losses))
            held = optimizer.set_values(held, moving, moved * weights[useful].mean())
        self.state = {"weights": held, "first_losses": first}
        return weights

    def _first_losses(self, tasks: Sequence[str], losses: Tensor) -> dict[str, Tensor]:
        held = self.state["first_losses"]
        new = [index for index, task in enumerate(tasks) if task not in held and losses[index] > 0]
        return write_tasks(held, [tasks[index] for index in new], losses[new])
