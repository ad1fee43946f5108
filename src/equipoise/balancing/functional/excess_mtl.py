"""ExcessMTL: more weight to the tasks that are furthest from their optimum."""

from typing import NamedTuple

import torch
from torch import Tensor

from equipoise.balancing.functional.blocks import blocks

_MARGIN = 1e-7
_LEAST_BASELINE = 1e-6


class ExcessMTLState(NamedTuple):
    """The memory of ExcessMTL.

    Attributes:
        squares: For each of the T tasks the sum of its squared gradients, shape ``[D]``, at least float32.
        baseline: The excess risks of the first step, shape ``[T]``; zeros before it.
        logits: The logarithms of the weights, shape ``[T]``.
    """

    squares: tuple[Tensor, ...]
    baseline: Tensor
    logits: Tensor

    @classmethod
    def start(cls, jacobian: Tensor) -> "ExcessMTLState":
        """The state before the first step, for gradients like these."""
        squares = torch.zeros_like(jacobian, dtype=torch.promote_types(jacobian.dtype, torch.float32))
        return cls(tuple(squares), torch.zeros_like(squares[:, 0]), torch.zeros_like(squares[:, 0]))


@torch.no_grad()
def excess_mtl(jacobian: Tensor, state: ExcessMTLState, rate: float = 0.01) -> tuple[Tensor, ExcessMTLState]:
    r"""Weights of ExcessMTL (He et al., ICML 2024) in the authors' form, sum convention, and its new state.

    .. math:: S_{ik} \leftarrow S_{ik} + g_{ik}^2,\quad E_i = \sum_k \frac{g_{ik}^2}{\sqrt{S_{ik} + 10^{-7}}},\quad
        w_i \leftarrow w_i \exp\big(\eta E_i / E_i(1)\big),\qquad \sum_i w_i = T

    The first step only sets the baseline :math:`E(1)`, with weights 1. The paper has weights that sum to 1; TorchJD
    updates the weights in the first step as well, with the raw excess. Baselines are kept above a millionth of their
    mean, so that a task without gradient in the first step cannot take all the weight for ever. Weights are kept as
    logarithms. Runs on the device of ``jacobian`` without waiting for it.

    Args:
        jacobian: Gradients of the tasks, one a row, shape ``[T, D]``.
        state: The state, at first ``ExcessMTLState.start(jacobian)``.
        rate: :math:`\eta`, non-negative. 0.01 in the authors' configuration, 1 in their published command.

    Returns:
        The weights of this step (heads take them, too), positive, with the sum ``T``, shape ``[T]``, and the new state.

    Raises:
        ValueError: If ``jacobian`` does not fit ``state``.

    Example:
        >>> import torch
        >>> jacobian = torch.eye(2)
        >>> weights, state = excess_mtl(jacobian, ExcessMTLState.start(jacobian))
        >>> weights
        tensor([1., 1.])
    """
    expected = [len(state.squares), len(state.squares[0])]
    if list(jacobian.shape) != expected:
        raise ValueError(f"`jacobian` should have the shape of the state, {expected}. Found {list(jacobian.shape)}.")
    squares, risks = zip(*map(_accumulated, jacobian, state.squares), strict=True)
    excess = torch.stack(risks)
    first = ~(state.baseline > 0).any()
    baseline = torch.where(first, excess.maximum(_LEAST_BASELINE * excess.mean()), state.baseline)
    growth = torch.where(first | ~(baseline > 0), torch.zeros_like(excess), excess / baseline)
    logits = (state.logits + rate * growth).log_softmax(0)
    return (len(logits) * logits.exp()).to(jacobian.dtype), ExcessMTLState(squares, baseline, logits)


def _accumulated(gradient: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
    """The new sum of squares of one task, and its excess risk."""
    total, risk = torch.empty_like(squares), torch.zeros_like(squares[:1])
    for place in blocks(gradient[None]):
        new = gradient[place].to(squares).square()
        total[place] = squares[place] + new
        risk += (new / (total[place] + _MARGIN).sqrt()).sum()
    return total, risk[0]
