"""GradNorm: weights trained so that gradient norms follow the tasks' training rates."""

from collections.abc import Sequence
from typing import Literal, Unpack

import torch
from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import GradientBalancer, Place
from equipoise.balancing.checks import require
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import gradnorm, gradnorm_renormalized
from equipoise.balancing.learner import Learner
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source
from equipoise.balancing.taskwise import gathered, updated


class GradNorm(GradientBalancer):
    """Weights that pull the norms of the weighted gradients towards r_i^alpha times their mean.

    r_i = (L_i / L_i(0)) / mean_j(L_j / L_j(0)) is the task's inverse training rate and L_i(0) its loss in the first
    step in which it was positive. The step uses the weights that the norms were measured with; then the weights make a
    step of their own on sum_i |w_i n_i - target_i|, are kept above 0.001 and scaled so that they sum to the number of
    tasks. In a batch without some task, only the others move, and keep their sum.

    A task whose gradient is zero neither moves nor counts in the mean: in the first step of a ResNet from scratch,
    where that is every task at the last layer, all weights stay as they are.

    UniversalRepresentations is this form. LibMTL takes w = T softmax(s), the norms at all shared parameters, the mean
    loss of the first epoch as L(0) and leaves the heads unweighted; SamsungLabs multiplies the losses by weights that
    are not normalised and has alpha = 2; one public code makes a new Adam in every step.

    Args:
        alpha: Strength of the pull towards equal training rates. P1 searches 0.1 to 2.
        learning_rate: Of the weights.
        optimizer: "adam" or "sgd". The force on a weight is a gradient norm, so that plain steps depend on its scale.
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

    record = Method(
        name="gradnorm",
        title="GradNorm",
        paper='Chen et al., "GradNorm: Gradient Normalization for Adaptive Loss Balancing", ICML 2018, algorithm 1',
        sees=Source.LAST_LAYER,
        scale="sum: the weights sum to T",
        state="weights and their moments, first losses",
        sources={
            "alpha": "paper, NYUv2 (0.12 in its toy problem)",
            "learning_rate": "paper",
            "optimizer": "public codes",
            "measure_at": "paper, section 3",
            "scale_heads": "paper: the loss is weighted",
        },
    )

    def __init__(
        self,
        *,
        alpha: float = 1.5,
        learning_rate: float = 0.025,
        optimizer: Literal["adam", "sgd"] = "adam",
        measure_at: Place = "last_layer",
        scale_heads: bool = True,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(measure_at=measure_at, scale_heads=scale_heads, **common)
        require(0 <= alpha < float("inf"), "alpha", alpha, "be zero or more, and finite")
        self.alpha = alpha
        self.learner = Learner(learning_rate, optimizer, initial=1.0)
        self.memory = {"weights": self.learner.start(), "first_losses": {}}

    def weigh(self, evidence: Evidence) -> Tensor:
        """The weights before their own step, which is then made by the tasks that have a gradient."""
        gram = evidence.gram
        if gram is None:
            raise TypeError("GradNorm should see gradients.")
        # In float64, which ratios of losses do not leave; a negative loss has no training rate.
        losses = evidence.losses.double().clamp(min=0)
        held, learner = self.memory["weights"], self.learner
        first = self._first_losses(evidence.tasks, losses)
        weights = learner.values(held, evidence.tasks, losses)
        moving = [task for task, norm in zip(evidence.tasks, gram.diagonal().tolist(), strict=True) if norm > 0]
        if moving:
            useful = gram.diagonal() > 0
            start = gathered(first, moving, torch.zeros_like(losses[0]))
            norms = gram.diagonal()[useful].sqrt()
            forces = gradnorm(losses[useful], start, norms, weights[useful], self.alpha)
            held = learner.learned(held, moving, forces.gradient)
            moved = gradnorm_renormalized(learner.values(held, moving, losses))
            held = learner.replaced(held, moving, moved * weights[useful].mean())
        self.memory = {"weights": held, "first_losses": first}
        return weights

    def _first_losses(self, tasks: Sequence[str], losses: Tensor) -> dict[str, Tensor]:
        held = self.memory["first_losses"]
        new = [index for index, task in enumerate(tasks) if task not in held and losses[index] > 0]
        return updated(held, [tasks[index] for index in new], losses[new])
