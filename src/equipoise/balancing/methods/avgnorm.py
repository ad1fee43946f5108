"""AvgNorm: every task contributes a gradient of the same norm, that of the plain sum."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.weights import GradientBalancer, MeasureAt
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import POSITIVE, at_least, hyper, or_none, within
from equipoise.balancing.info import MethodInfo, Place

__all__ = ["AvgNorm", "avgnorm"]


@torch.no_grad()
def avgnorm(gram: Tensor) -> Tensor:
    r"""Weights of AvgNorm (Guo et al. 2025, equation 6).

    $$
    w_i = \lVert \textstyle\sum_j g_j \rVert \,/\, \lVert g_i \rVert
    $$

    All weighted gradients have the same norm: that of the sum. A zero gradient has no direction, so its weight is 0. If
    all gradients are zero, all weights are 1. Exactly opposite gradients sum to zero. Then all weights are 0, up to the
    rounding of the Gram matrix (`1e-8` relative in float64).

    There is no solver, so the function runs on the device of the Gram matrix without waiting for it. For the same
    reason NaN and infinity are refused on the CPU only. On other devices they turn every weight into NaN.

    Args:
        gram: Gram matrix of the task gradients at the last shared layer, `J @ J.T`, shape `[T, T]`.

    Returns:
        Weights, shape `[T]`, dtype and device of `gram`.

    Raises:
        ValueError: If `gram` is not a square floating-point matrix, or, on the CPU, not finite.

    Example:
        >>> import torch
        >>> avgnorm(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
        tensor([1.1180, 2.2361])
    """
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or gram.shape[0] == 0 or not gram.is_floating_point():
        raise ValueError(
            "`gram` should be a square floating-point matrix with one row per task. "
            f"Found `gram` of shape {list(gram.shape)} and dtype {gram.dtype}."
        )
    if gram.device.type == "cpu" and not bool(torch.isfinite(gram).all()):
        raise ValueError("`gram` should be finite. Found NaN or infinity: check the losses and gradients it came from.")
    precise = gram.double()
    squared_norms = precise.diagonal()
    present = squared_norms > 0
    weights = (
        precise.sum().clamp(min=0) / squared_norms.where(present, torch.ones_like(squared_norms))
    ).sqrt() * present
    return weights.where(present.any(), torch.ones_like(weights)).to(gram.dtype)


@register
class AvgNorm(GradientBalancer):
    """Weights w_i = ||sum_j g_j|| / ||g_i|| with g_i the gradient of the unweighted loss i at the last shared layer.

    Source: Guo et al., "Revisit the Imbalance Optimization in Multi-task Learning", 2025, equation 6. As in the paper,
    the weights come from the raw gradients of the current step, are constants in the backward pass, and are neither
    smoothed nor normalised.

    A task with a zero gradient gets the weight 0 and adds nothing to the sum. If all gradients are zero, all weights
    are 1. This happens in the first step of a ResNet whose residual branches start at zero, which would otherwise never
    move.

    The direction of the update does not depend on the scales of the losses. Its length does. Fully conflicting
    gradients cancel in the sum and make the step zero.

    Args:
        every: Steps between two measurements. In between, the last weights apply and a step costs no more than a plain
            one.
        ema: Share of the old weights in an exponential moving average of the weights. 0 is the paper's method.
        max_weight: Upper limit of each weight. The paper has none.
        measure_at: Where norms are measured: at the last shared layer, at the features, or at all shared parameters.
            Guo et al. report that the last layer is enough.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient, as in the paper, which
            weights the losses.

    Example:
        >>> import torch, equipoise
        >>> layer = torch.nn.Linear(2, 2, bias=False)
        >>> a, b = layer(torch.ones(1, 2))[0]
        >>> balance = equipoise.AvgNorm().backward({"a": a, "b": 100 * b}, last_layer=layer)
        >>> layer.weight.grad.norm(dim=1)  # equal norms, although one loss is a hundred times the other
        tensor([141.4284, 141.4284])
    """

    info = MethodInfo(
        name="avgnorm",
        title="AvgNorm",
        paper='Guo et al., "Revisit the Imbalance Optimization in Multi-task Learning", 2025, equation 6',
        default_place=Place.LAST_LAYER,
        scale="absolute: every weighted gradient has the norm of the plain sum",
        state="weights between measurements or for the moving average; step counter",
    )

    every: int = hyper(default=1, rule=at_least(1), source="Guo et al. 2025: every step")
    ema: float = hyper(default=0.0, rule=within(0, 1, ends="[)"), source="Guo et al. 2025: none")
    max_weight: float | None = hyper(default=None, rule=or_none(POSITIVE), source="Guo et al. 2025: none")
    measure_at: MeasureAt = hyper(default="last_layer", source="Guo et al. 2025, section VI")
    scale_heads: bool = hyper(default=True)

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"step": 0, "weights": {}}

    def place(self, tasks: Sequence[str]) -> Place:
        """Return the chosen place if a measurement is due or a task is new, else the losses."""
        due = self.state["step"] % self.every == 0 or any(task not in self.state["weights"] for task in tasks)
        return super().place(tasks) if due else Place.LOSSES

    def weigh(self, inputs: StepInputs) -> Tensor:
        """Compute the weights, or take the last ones, and apply moving average and limit."""
        held: dict[str, Tensor] = self.state["weights"]
        if inputs.gram is None:
            weights = torch.stack([held[task] for task in inputs.tasks])
        else:
            weights = avgnorm(inputs.gram)
            nonzero = inputs.gram.diagonal() > 0
            if self.ema > 0:
                old = torch.stack([held.get(t, w) for t, w in zip(inputs.tasks, weights, strict=True)])
                weights = torch.where(nonzero, self.ema * old + (1 - self.ema) * weights, weights)
            if self.max_weight is not None:
                weights = weights.clamp(max=self.max_weight)
            if self.every > 1 or self.ema > 0:
                # A zero gradient says nothing about later steps.
                measured = zip(inputs.tasks, weights, nonzero.tolist(), strict=True)
                held = held | {task: weight for task, weight, useful in measured if useful}
        self.state = {"step": self.state["step"] + 1, "weights": held}
        return weights
