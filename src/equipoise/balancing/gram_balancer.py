"""The base of methods that solve for their weights in the Gram matrix of the task gradients."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from equipoise.balancing.bases import GradientBalancer
from equipoise.balancing.errors import SolverError
from equipoise.balancing.evidence import Evidence


class GramBalancer(GradientBalancer):
    """A method whose weights solve a problem on the Gram matrix.

    Two things keep a long training alive. If all gradients are zero where they are looked at (the first step of a
    ResNet whose residual branches start at zero, seen from its last layer), all weights are equal: 1, or 1 / T for
    methods of the mean type. If the problem has no solution, or its solver does not reach it, the method takes its
    `fallback` and counts the step in `memory["unsolved"]`.

    Args:
        measure_at: As for every `GradientBalancer`.
        scale_heads: As for every `GradientBalancer`.
    """

    mean_type: ClassVar[bool] = False

    @abstractmethod
    def solve(self, evidence: Evidence, gram: Tensor) -> Tensor:
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

    def weigh(self, evidence: Evidence) -> Tensor:
        """The solution, or what stands in for it."""
        gram = evidence.gram
        if gram is None:
            raise TypeError("A method that solves a problem on the Gram matrix should ask for gradients in `source`.")
        if not gram.diagonal().any():
            return self.plain(gram)
        try:
            return self.solve(evidence, gram)
        except SolverError:
            self.memory = self.memory | {"unsolved": self.memory.get("unsolved", 0) + 1}
            return self.fallback(gram)
