"""Base classes of methods that compute weights from the Gram matrix of the task gradients."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from equipoise.balancing.bases.weights import GradientBalancer
from equipoise.balancing.engine.update import StepInputs, Update
from equipoise.balancing.errors import SolverError
from equipoise.balancing.hyper_parameters import POSITIVE, hyper, or_none
from equipoise.balancing.solvers import bargaining_weights, minimum_norm_weights, read_gram, to_tensor


class GramBalancer(GradientBalancer):
    """A method whose weights solve a problem on the Gram matrix.

    Two rules keep a long training alive. If all measured gradients are zero, all weights are equal: 1, or 1 / T for
    methods of the mean type. This happens at the last layer in the first step of a ResNet whose residual branches start
    at zero. If the problem has no solution, or the solver does not reach it, the method takes its `fallback` and counts
    the step in `state["unsolved"]`.

    Args:
        measure_at: As for every `GradientBalancer`.
        scale_heads: As for every `GradientBalancer`.
    """

    mean_type: ClassVar[bool] = False

    @abstractmethod
    def solve(self, inputs: StepInputs, gram: Tensor) -> Tensor:
        """Compute the weights, [T], for gradients that are not all zero.

        Raises:
            SolverError: There is no solution, or it was not reached.
        """

    def fallback(self, gram: Tensor) -> Tensor:
        """Return the weights, [T], to use without a solution: those of the plain sum or mean."""
        return self.plain(gram)

    def plain(self, gram: Tensor) -> Tensor:
        """Return the weights, [T], of the plain sum or mean."""
        return torch.full_like(gram[0], 1 / len(gram) if self.mean_type else 1.0)

    def weigh(self, inputs: StepInputs) -> Tensor:
        """Compute the solution, or the fallback."""
        gram = inputs.gram
        if gram is None:
            raise TypeError(
                "`place` should be a place of gradients for a method on the Gram matrix. Found `Place.LOSSES`."
            )
        if not gram.diagonal().any():
            return self.plain(gram)
        try:
            return self.solve(inputs, gram)
        except SolverError:
            self.state = self.state | {"unsolved": self.state.get("unsolved", 0) + 1}
            return self.fallback(gram)


class BargainingBalancer(GramBalancer):
    """Weights that solve G w = w^(-1/alpha), with the update of the shared parameters clipped to a norm.

    A task whose gradient is zero cannot bargain. It is left out with the weight 0, and its own parameters receive their
    plain gradient. If no solution exists (opposite gradients, a Pareto-stationary point), no step improves all tasks.
    The method then takes the convex combination of least norm, which is almost no update, and counts the step in
    `state["unsolved"]`. Public codes silently return the weights of an earlier step, or the initial ones.

    Args:
        max_norm: Largest norm of the update of the shared parameters (of the gradient at the measured place). None for
            no limit. The tasks' own parameters keep the unclipped weights.
        measure_at: Where gradients are measured.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.
    """

    max_norm: float | None = hyper(default=1.0, rule=or_none(POSITIVE))

    @property
    def exponent(self) -> float:
        """The alpha of the condition; 1 is Nash-MTL."""
        return 1.0

    def solve(self, inputs: StepInputs, gram: Tensor) -> Tensor:
        """Compute the solution among the tasks with a gradient."""
        weights = torch.zeros_like(gram[0])
        present = gram.diagonal() > 0
        weights[present] = to_tensor(bargaining_weights(read_gram(gram[present][:, present]), self.exponent)).to(gram)
        return weights

    def fallback(self, gram: Tensor) -> Tensor:
        """Return the convex combination of least norm among the tasks with a gradient."""
        weights = torch.zeros_like(gram[0])
        present = gram.diagonal() > 0
        weights[present] = to_tensor(minimum_norm_weights(read_gram(gram[present][:, present]))).to(gram)
        return weights

    def clipping(self, gram: Tensor, weights: Tensor) -> Tensor:
        """Return the factor of the weights that limits the update to `max_norm`."""
        if self.max_norm is None:
            return torch.ones_like(weights[0])
        norm = torch.dot(weights, gram @ weights).clamp(min=0).sqrt()
        return (self.max_norm / norm.clamp(min=self.max_norm)).to(weights)

    def decide(self, inputs: StepInputs) -> Update:
        """Give the clipped solution to the shared parameters, and the solution or ones to the tasks' own."""
        weights = self.weigh(inputs)
        clipped = weights if inputs.gram is None else weights * self.clipping(inputs.gram, weights)
        heads = torch.where(weights == 0, torch.ones_like(weights), weights)
        heads = heads if self.scale_heads else torch.ones_like(heads)
        return Update(clipped.to(inputs.losses), head_weights=heads.to(inputs.losses))
