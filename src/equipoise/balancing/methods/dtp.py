"""DTP: more weight for the tasks that perform worst."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from equipoise._core.errors import require
from equipoise._core.registry import register
from equipoise.balancing.bases.weights import WeightBalancer
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import NON_NEGATIVE, hyper, within
from equipoise.balancing.info import MethodInfo, Place

__all__ = ["DTP", "dtp"]

_MARGIN = 1e-6


@torch.no_grad()
def dtp(indicators: Tensor, averages: Tensor, rate: float = 0.9, focus: float = 1.0) -> tuple[Tensor, Tensor]:
    r"""Weights of DTP (Guo et al., ECCV 2018), and the new averages of its performance indicators.

    $$
    \bar\kappa_i \leftarrow \alpha \kappa_i + (1 - \alpha) \bar\kappa_i,\qquad
    w_i = -(1 - \bar\kappa_i)^\gamma \log \bar\kappa_i
    $$

    The indicators are accuracies, not losses. The authors published no code. Averages start with the first indicators.
    For the weights they are clamped to [1e-6, 1 - 1e-6], since a weight would be infinite at 0 and vanish at 1.

    Args:
        indicators: $\kappa$, in (0, 1), higher is better, shape `[T]`.
        averages: $\bar\kappa$ before this call, shape `[T]`.
        rate: $\alpha$ in [0, 1], the share of the new indicators.
        focus: $\gamma$, non-negative.

    Returns:
        The weights, which do not sum to a fixed number, and the new averages, each of shape `[T]`.

    Raises:
        ValueError: If `rate` or `focus` is out of range.

    Example:
        >>> import torch
        >>> kappa = torch.tensor([0.5, 0.9])
        >>> dtp(kappa, averages=kappa, focus=0.0)
        (tensor([0.6931, 0.1054]), tensor([0.5000, 0.9000]))
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"`rate` should be in [0, 1]. Found `rate = {rate}`.")
    if not focus >= 0:
        raise ValueError(f"`focus` should be non-negative. Found `focus = {focus}`.")
    averages = rate * indicators + (1 - rate) * averages
    inside = averages.clamp(_MARGIN, 1 - _MARGIN)
    return -((1 - inside) ** focus) * inside.log(), averages


@register
class DTP(WeightBalancer):
    """Weights w_i = -(1 - k_i)^focus log k_i with k_i the moving average of task i's performance indicator in [0, 1].

    The indicator is a measure such as accuracy or mean IoU. Pass it to `set_kpi` after each evaluation. For a task
    without one the method uses L_i(0) / (L_i(0) + L_i). This is 1/2 in the first step, tends to 1 as the loss vanishes,
    and does not depend on the loss's scale. This substitute is ours. The authors published no code. Community code uses
    ratios of successive losses, with which a task that stops improving loses its weight.

    The paper's second part, a focal loss for single examples, does not weigh tasks.

    Args:
        rate: Share of the new indicator in the moving average.
        focus: Exponent. 0 leaves -log k.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> balancer = equipoise.DTP()
        >>> balancer.set_kpi({"hard": 0.2, "easy": 0.9})
        >>> balancer.backward({"hard": x.sum(), "easy": (x * x).sum()}).weights
        {'hard': tensor(1.2876), 'easy': tensor(0.0105)}
    """

    info = MethodInfo(
        name="dtp",
        title="Dynamic task prioritization",
        paper='Guo et al., "Dynamic Task Prioritization for Multitask Learning", ECCV 2018',
        default_place=Place.LOSSES,
        scale="absolute: by the indicators",
        state="moving averages of the indicators; first losses",
    )

    rate: float = hyper(default=0.9, rule=within(0, 1), source="our choice; the paper tunes it")
    focus: float = hyper(
        default=1.0,
        rule=NON_NEGATIVE,
        source="our choice; the paper tunes it for each task",
    )

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"measured": {}, "averages": {}, "first_losses": {}}

    def set_kpi(self, kpi: Mapping[str, float]) -> None:
        """Add measured performance indicators to the moving averages.

        Args:
            kpi: Number in [0, 1] by task, higher is better, the same on every process. Tasks that are not named keep
                their averages.

        Raises:
            ValueError: A number is outside of [0, 1].
        """
        measured = dict(self.state["measured"])
        for task, value in kpi.items():
            require(0 <= value <= 1, f"kpi[{task!r}]", value, "be in [0, 1]")
            new = torch.tensor(float(value), dtype=torch.float64)
            old = measured[task].cpu() if task in measured else new
            measured[task] = dtp(new, old, self.rate, self.focus)[1]
        self.state = self.state | {"measured": measured}

    def weigh(self, inputs: StepInputs) -> Tensor:
        """Compute the weights from the averages of measured indicators, or of their substitutes."""
        losses = inputs.losses.double().clamp(min=0)
        measured, averages = self.state["measured"], dict(self.state["averages"])
        first = dict(self.state["first_losses"])
        weights = []
        for task, loss in zip(inputs.tasks, losses, strict=True):
            if task in measured:
                known = measured[task].to(loss.device)
                weights.append(dtp(known, known, 1.0, self.focus)[0])
                continue
            start = first.setdefault(task, loss.clone())
            indicator = torch.where(start + loss > 0, start / (start + loss), torch.ones_like(loss))
            weight, averages[task] = dtp(indicator, averages.get(task, indicator), self.rate, self.focus)
            weights.append(weight)
        self.state = {"measured": measured, "averages": averages, "first_losses": first}
        return torch.stack(weights)
