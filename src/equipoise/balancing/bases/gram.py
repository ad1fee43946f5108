"""The base of methods that solve for their weights in the Gram matrix of the task gradients."""

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

    Two things keep a long training alive. If all gradients are zero where they are looked at (the first step of a
    ResNet whose residual branches start at zero, seen from its last layer), all weights are equal: 1, or 1 / T for
    methods of the mean type. If the problem has no solution, or its solver does not reach it, the method takes its
    `fallback` and counts the step in `state["unsolved"]`.

    Args:
        measure_at: As for every `GradientBalancer`.
        scale_heads: As for every `GradientBalancer`.
    """

    mean_type: ClassVar[bool] = False

    @abstractmethod
    def solve(self, inputs: StepInputs, gram: Tensor) -> Tensor:
        """The weights, [T], for gradients that are not all zero.

        Raises:
            SolverError: There is no solution.
        """

    def fallback(self, gram: Tensor) -> Tensor:
        """The weights, [T], when there is no solution: those of the plain sum or mean."""
        return self.plain(gram)

    def plain(self, gram: Tensor) -> Tensor:
        """The weights, [T], of the plain sum or mean."""
        return torch.full_like(gram[0], 1 / len(gram) if self.mean_type else 1.0)

    def weigh(self, inputs: StepInputs) -> Tensor:
        """The solution, or what stands in for it."""
        gram = inputs.gram
        if gram is None:
            raise TypeError("A method that solves a problem on the Gram matrix should ask for gradients in `source`.")
        if not gram.diagonal().any():
            return self.plain(gram)
        try:
            return self.solve(inputs, gram)
        except SolverError:
            self.state = self.state | {"unsolved": self.state.get("unsolved", 0) + 1}
            return self.fallback(gram)


class BargainingBalancer(GramBalancer):
    """Weights that solve G w = w^(-1/alpha), with the update of the shared parameters clipped to a norm.

    A task whose gradient is zero cannot bargain: it is left out, with the weight 0, and its own parameters receive
    their plain gradient. Where no solution exists (opposite gradients, a Pareto-stationary point) no step improves all
    tasks; the convex combination of least norm is taken then, which is next to no update, and the step is counted in
    `state["unsolved"]`. Public codes return the weights of an earlier step or the initial ones, without a word.

    Args:
        max_norm: Largest norm of the update of the shared parameters (of the gradient at the measured place); none for
            no limit. The tasks' own parameters keep the unclipped weights.
        measure_at: Where the gradients are looked at.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.
    """

    max_norm: float | None = hyper(default=1.0, rule=or_none(POSITIVE))

    @property
    def exponent(self) -> float:
        """Return alpha; 1 is Nash-MTL."""
        return 1.0

    def solve(self, inputs: StepInputs, gram: Tensor) -> Tensor:
        """The solution among the tasks with a gradient."""
        weights = torch.zeros_like(gram[0])
        present = gram.diagonal() > 0
        weights[present] = to_tensor(bargaining_weights(read_gram(gram[present][:, present]), self.exponent)).to(gram)
        return weights

    def fallback(self, gram: Tensor) -> Tensor:
        """The convex combination of least norm among the tasks with a gradient."""
        weights = torch.zeros_like(gram[0])
        present = gram.diagonal() > 0
        weights[present] = to_tensor(minimum_norm_weights(read_gram(gram[present][:, present]))).to(gram)
        return weights

    def clipping(self, gram: Tensor, weights: Tensor) -> Tensor:
        """What the weights are multiplied by so that the update keeps to `max_norm`."""
        if self.max_norm is None:
            return torch.ones_like(weights[0])
        norm = torch.dot(weights, gram @ weights).clamp(min=0).sqrt()
        return (self.max_norm / norm.clamp(min=self.max_norm)).to(weights)

    def decide(self, inputs: StepInputs) -> Update:
        """The clipped solution for the shared parameters; the solution, or ones, for the tasks' own."""
        weights = self.weigh(inputs)
        clipped = weights if inputs.gram is None else weights * self.clipping(inputs.gram, weights)
        heads = torch.where(weights == 0, torch.ones_like(weights), weights)
        heads = heads if self.scale_heads else torch.ones_like(heads)
        return Update(clipped.to(inputs.losses), head_weights=heads.to(inputs.losses))
