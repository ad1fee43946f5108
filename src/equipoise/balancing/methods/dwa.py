"""DWA: more weight for the tasks whose loss falls slowest."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.epoch import EpochBalancer
from equipoise.balancing.context import Need
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import POSITIVE, at_least, hyper, or_none
from equipoise.balancing.info import MethodInfo, Place

__all__ = ["DWA", "dwa"]


@torch.no_grad()
def dwa(previous: Tensor, before: Tensor, temperature: float = 2.0) -> Tensor:
    r"""Weights of DWA (Liu et al., MTAN, CVPR 2019), sum convention.

    $$
    w = T\, \mathrm{softmax}(r / \tau),\qquad r_i = \bar L_i(e - 1) / \bar L_i(e - 2)
    $$

    with losses averaged over an epoch. In the first two epochs these averages do not exist yet, and the weights are 1.
    Variants that compare windows of iterations are different methods. A task whose earlier average is zero counts as
    unchanged.

    Args:
        previous: Average losses of the previous epoch, shape `[T]`.
        before: Average losses of the epoch before that, shape `[T]`.
        temperature: $\tau$, positive. Large values make the weights equal.

    Returns:
        Weights that sum to `T`, shape `[T]`.

    Raises:
        ValueError: If `temperature` is not positive.

    Example:
        >>> import torch
        >>> dwa(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 1.0]))
        tensor([1., 1.])
    """
    if not temperature > 0:
        raise ValueError(f"`temperature` should be positive. Found `temperature = {temperature}`.")
    ratios = torch.where(before != 0, previous / before, torch.ones_like(previous))
    return len(ratios) * (ratios / temperature).softmax(0)


@register
class DWA(EpochBalancer):
    """Weights w = T softmax(r / temperature), r_i = mean loss of the previous epoch / that of the epoch before it.

    The ratio of a task counts as 1 until two epochs with it have ended. If it is 1 for all tasks, the weights are 1.
    Call `end_epoch()` after every epoch, or set `window`. Losses should be positive.

    MTAN, LibMTL and TorchJD agree. nash-mtl and SamsungLabs slide windows of 25 iterations over a buffer that starts
    with ones, and divide by T. That is a different method. A `window` here is a block of steps that counts as an epoch.

    Args:
        temperature: Large values make the weights equal. Guo et al. (2025) search 0.5 to 4.
        window: Number of steps that count as an epoch. None to wait for `end_epoch`.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> balancer = equipoise.DWA()
        >>> for scale in (1.0, 0.5, 0.5):
        ...     balance = balancer.backward({"falling": scale * x.sum(), "constant": x.sum()})
        ...     balancer.end_epoch()
        >>> balance.weights
        {'falling': tensor(0.8756), 'constant': tensor(1.1244)}
    """

    info = MethodInfo(
        name="dwa",
        title="Dynamic weight average",
        paper='Liu et al., "End-to-End Multi-Task Learning with Attention" (MTAN), CVPR 2019',
        default_place=Place.LOSSES,
        needs=frozenset({Need.END_EPOCH}),
        scale="sum: the weights sum to T",
        state="average losses of the current and the last two epochs",
    )

    temperature: float = hyper(default=2.0, rule=POSITIVE, source="paper")
    window: int | None = hyper(default=None, rule=or_none(at_least(1)), source="paper: epochs")

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return super().initial_state() | {"previous": {}, "before": {}}

    def epoch_weights(self, inputs: StepInputs) -> Tensor:
        """Compute the weights from the last two epochs, with equal averages for tasks without two."""
        previous, before = self.state["previous"], self.state["before"]
        one = torch.ones_like(inputs.losses[0], dtype=torch.float64)
        known = [task in before for task in inputs.tasks]
        last = [previous[task] if known[i] else one for i, task in enumerate(inputs.tasks)]
        earlier = [before[task] if known[i] else one for i, task in enumerate(inputs.tasks)]
        return dwa(torch.stack(last), torch.stack(earlier), self.temperature)

    def state_after_epoch(self, averages: Mapping[str, Tensor]) -> dict[str, Any]:
        """Make the epoch that has ended the previous one."""
        previous = self.state["previous"]
        moved = {task: previous[task] for task in averages if task in previous}
        return {"previous": previous | dict(averages), "before": self.state["before"] | moved}
