"""DTP: more weight to the tasks that perform worst."""

from collections.abc import Mapping
from typing import Unpack

import torch
from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import WeightBalancer
from equipoise.balancing.checks import require
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import dtp
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class DTP(WeightBalancer):
    """Weights w_i = -(1 - k_i)^focus log k_i with k_i the moving average of task i's performance indicator in [0, 1].

    The indicator is a measure such as accuracy or mean IoU: give it with `set_kpi` after each evaluation. A task
    without one goes by its loss: L_i(0) / (L_i(0) + L_i), which is 1/2 in its first step, tends to 1 as the loss
    vanishes and depends on no scale. That stand-in is ours. The authors published no code; community code that uses the
    losses takes ratios of successive ones, with which a task that stops improving loses its weight.

    The paper's second part, a focal loss for single examples, is no task weighting.

    Args:
        rate: Share of the new indicator in the moving average.
        focus: Exponent; 0 leaves -log k.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> balancer = equipoise.DTP()
        >>> balancer.set_kpi({"hard": 0.2, "easy": 0.9})
        >>> balancer.backward({"hard": x.sum(), "easy": (x * x).sum()}).weights
        {'hard': tensor(1.2876), 'easy': tensor(0.0105)}
    """

    record = Method(
        name="dtp",
        title="Dynamic task prioritization",
        paper='Guo et al., "Dynamic Task Prioritization for Multitask Learning", ECCV 2018',
        sees=Source.LOSSES,
        scale="absolute: by the indicators",
        state="moving averages of the indicators; first losses",
        sources={"rate": "our choice; the paper tunes it", "focus": "our choice; the paper tunes it for each task"},
    )

    def __init__(self, *, rate: float = 0.9, focus: float = 1.0, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        require(0 <= rate <= 1, "rate", rate, "be in [0, 1]")
        require(focus >= 0, "focus", focus, "be zero or more")
        self.rate, self.focus = rate, focus
        self.memory = {"measured": {}, "averages": {}, "first_losses": {}}

    def set_kpi(self, kpi: Mapping[str, float]) -> None:
        """Take over measured performance indicators.

        Args:
            kpi: A number in [0, 1] by task, higher is better; the same on every process. Tasks that are not named keep
                what they have.

        Raises:
            ValueError: A number is outside of [0, 1].
        """
        measured = dict(self.memory["measured"])
        for task, value in kpi.items():
            require(0 <= value <= 1, f"kpi[{task!r}]", value, "be in [0, 1]")
            new = torch.tensor(float(value), dtype=torch.float64)
            old = measured[task].cpu() if task in measured else new
            measured[task] = dtp(new, old, self.rate, self.focus)[1]
        self.memory = self.memory | {"measured": measured}

    def weigh(self, evidence: Evidence) -> Tensor:
        """The weights by the measured averages, or by those of the stand-in."""
        losses = evidence.losses.double().clamp(min=0)
        measured, averages = self.memory["measured"], dict(self.memory["averages"])
        first = dict(self.memory["first_losses"])
        weights = []
        for task, loss in zip(evidence.tasks, losses, strict=True):
            if task in measured:
                known = measured[task].to(loss.device)
                weights.append(dtp(known, known, 1.0, self.focus)[0])
                continue
            start = first.setdefault(task, loss.clone())
            indicator = torch.where(start + loss > 0, start / (start + loss), torch.ones_like(loss))
            weight, averages[task] = dtp(indicator, averages.get(task, indicator), self.rate, self.focus)
            weights.append(weight)
        self.memory = {"measured": measured, "averages": averages, "first_losses": first}
        return torch.stack(weights)
