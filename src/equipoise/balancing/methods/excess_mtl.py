"""ExcessMTL: more weight for the tasks that are furthest from their optimum."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.weights import GradientBalancer, MeasureAt
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import NON_NEGATIVE, Rule, hyper
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.methods.graddrop import column_blocks
from equipoise.balancing.state.per_task import read_gradients, read_tasks, write_tasks

__all__ = ["ExcessMTL", "ExcessMTLState", "excess_mtl"]

_MARGIN = 1e-7
_LEAST_BASELINE = 1e-6


class ExcessMTLState(NamedTuple):
    """State of ExcessMTL.

    Attributes:
        squares: For each of the T tasks, the sum of its squared gradients, shape `[D]`, at least float32.
        baseline: Excess risks of the first step, shape `[T]`. Zeros before it.
        logits: Logarithms of the weights, shape `[T]`.
    """

    squares: tuple[Tensor, ...]
    baseline: Tensor
    logits: Tensor

    @classmethod
    def start(cls, jacobian: Tensor) -> "ExcessMTLState":
        """Return the state before the first step, for gradients of this shape, dtype and device."""
        squares = torch.zeros_like(jacobian, dtype=torch.promote_types(jacobian.dtype, torch.float32))
        return cls(tuple(squares), torch.zeros_like(squares[:, 0]), torch.zeros_like(squares[:, 0]))


@torch.no_grad()
def excess_mtl(jacobian: Tensor, state: ExcessMTLState, rate: float = 0.01) -> tuple[Tensor, ExcessMTLState]:
    r"""Weights of ExcessMTL (He et al., ICML 2024) in the authors' form, sum convention, and its new state.

    $$
    S_{ik} \leftarrow S_{ik} + g_{ik}^2,\quad E_i = \sum_k \frac{g_{ik}^2}{\sqrt{S_{ik} + 10^{-7}}},\quad
    w_i \leftarrow w_i \exp\big(\eta E_i / E_i(1)\big),\qquad \sum_i w_i = T
    $$

    The first step only sets the baseline $E(1)$, with weights 1. In the paper the weights sum to 1. TorchJD updates the
    weights in the first step as well, with the raw excess. Baselines are at least a millionth of their mean, so that a
    task without gradient in the first step cannot take all the weight for ever. Weights are stored as logarithms. The
    function runs on the device of `jacobian` without waiting for it.

    Args:
        jacobian: Gradients of the tasks, one in each row, shape `[T, D]`.
        state: State of the last call. Start with `ExcessMTLState.start(jacobian)`.
        rate: $\eta$, non-negative. 0.01 in the authors' configuration, 1 in their published command.

    Returns:
        The weights of this step and the new state. The weights are positive, sum to `T`, have shape `[T]`, and apply to
        the heads as well.

    Raises:
        ValueError: If `jacobian` does not fit `state`.

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
    """Return the new sum of squares of one task, and its excess risk."""
    total, risk = torch.empty_like(squares), torch.zeros_like(squares[:1])
    for place in column_blocks(gradient[None]):
        new = gradient[place].to(squares).square()
        total[place] = squares[place] + new
        risk += (new / (total[place] + _MARGIN).sqrt()).sum()
    return total, risk[0]


@register
class ExcessMTL(GradientBalancer):
    """Weights w_i that are multiplied by exp(rate E_i / E_i(first)) in every step. E_i estimates the excess risk.

    E_i = sum_k g_ik^2 / sqrt(sum over all steps of g_ik^2) is the length of the gradient in the metric of AdaGrad. As
    in the authors' code, the first step has weights of 1 and sets the baseline, and the weights sum to T. In the paper
    they sum to 1. TorchJD updates them in the first step already. A task that is missing in a batch keeps its weight.

    The baseline of a task is from the first step in which it has a gradient. Until then its weight is 1. The authors'
    code divides by zero, and other codes give such a task all the weight. The sums of squares take T times the memory
    of the measured parameters.

    Args:
        rate: Rate of the weights, non-negative. The authors' published command has 1.
        measure_at: Where gradients are measured: at all shared parameters or at the last shared layer. Features differ
            from batch to batch, so that their gradients have no sums.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Raises:
        ValueError: On `backward`, the measured parameters are not those of the steps before.
    """

    info = MethodInfo(
        name="excess_mtl",
        title="ExcessMTL",
        paper='He et al., "Robust Multi-Task Learning with Excess Risks", ICML 2024',
        default_place=Place.SHARED,
        scale="sum: the weights sum to T",
        state="sums of squared gradients (T x P), baselines, logarithms of the weights",
    )

    rate: float = hyper(default=0.01, rule=NON_NEGATIVE, source="authors' configuration and LibMTL")
    measure_at: MeasureAt = hyper(
        default="shared",
        rule=Rule("be last_layer or shared", lambda place: place in ("last_layer", "shared")),
        source="authors' code",
    )
    scale_heads: bool = hyper(default=True, source="authors' code: the loss is weighted")

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"squares": {}, "baselines": {}, "logits": {}}

    def weigh(self, inputs: StepInputs) -> Tensor:
        """Update the weights by this step's gradients, and return them."""
        assert inputs.gram is not None
        held, everything = self.state, inputs.rows
        moving = inputs.gram.diagonal() > 0
        moving |= moving.new_tensor([task in held["baselines"] for task in inputs.tasks])
        weights = torch.ones_like(everything[:, 0])
        tasks = [task for task, moves in zip(inputs.tasks, moving.tolist(), strict=True) if moves]
        if not tasks:
            return weights
        rows = everything if len(tasks) == len(everything) else everything[moving]
        state = self._state(tasks, rows)
        weights[moving], new = excess_mtl(rows, state, self.rate)
        # The tasks present keep their share among all tasks.
        logits = new.logits + state.logits.logsumexp(0)
        self.state = {
            "squares": held["squares"] | dict(zip(tasks, new.squares, strict=True)),
            "baselines": write_tasks(held["baselines"], tasks, new.baseline),
            "logits": write_tasks(held["logits"], tasks, logits),
        }
        return weights

    def _state(self, tasks: list[str], rows: Tensor) -> ExcessMTLState:
        fresh, held = ExcessMTLState.start(rows), self.state
        baseline = read_tasks(held["baselines"], tasks, fresh.baseline[0])
        late = baseline.new_tensor([task not in held["baselines"] for task in tasks], dtype=torch.bool)
        if held["baselines"] and late.any():
            # A task that joins gets the baseline that it would have if it had started alone.
            baseline[late] = excess_mtl(rows[late], ExcessMTLState.start(rows[late]), 0.0)[1].baseline
        return ExcessMTLState(
            tuple(read_gradients(held["squares"], tasks, fresh.squares)),
            baseline,
            read_tasks(held["logits"], tasks, fresh.logits[0]),
        )
