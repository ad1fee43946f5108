"""DWA: more weight to the tasks whose loss falls slowest."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch
from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.checks import require
from equipoise.balancing.epoch_balancer import EpochBalancer
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import dwa
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class DWA(EpochBalancer):
    """Weights w = T softmax(r / temperature), r_i = mean loss of the previous epoch / that of the epoch before it.

    In the first two epochs, and for a task as long as two epochs with it have not ended, the ratio counts as 1; if that
    is so for all tasks the weights are 1. Call `end_epoch()` after every epoch, or set `window`.

    MTAN, LibMTL and TorchJD agree. nash-mtl and SamsungLabs slide windows of 25 iterations over a buffer that begins
    with ones, and divide by T: a different method. A `window` here is a block of steps that stands for an epoch.
    Losses should be positive.

    Args:
        temperature: Large values make the weights equal. P1 searches 0.5 to 4.
        window: Number of steps that count as an epoch; none to wait for `end_epoch`.

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

    record = Method(
        name="dwa",
        title="Dynamic weight average",
        paper='Liu et al., "End-to-End Multi-Task Learning with Attention" (MTAN), CVPR 2019',
        sees=Source.LOSSES,
        scale="sum: the weights sum to T",
        state="average losses of the current and the last two epochs",
        sources={"temperature": "paper", "window": "paper: epochs"},
    )

    def __init__(self, *, temperature: float = 2.0, window: int | None = None, **common: Unpack[Common]) -> None:
        super().__init__(window=window, **common)
        require(temperature > 0, "temperature", temperature, "be positive")
        self.temperature = temperature
        self.memory = self.memory | {"previous": {}, "before": {}}

    def weights_now(self, evidence: Evidence) -> Tensor:
        """The weights by the two epochs before; equal averages where there are not yet two."""
        previous, before = self.memory["previous"], self.memory["before"]
        one = torch.ones_like(evidence.losses[0], dtype=torch.float64)
        known = [task in before for task in evidence.tasks]
        last = [previous[task] if known[i] else one for i, task in enumerate(evidence.tasks)]
        earlier = [before[task] if known[i] else one for i, task in enumerate(evidence.tasks)]
        return dwa(torch.stack(last), torch.stack(earlier), self.temperature)

    def learned(self, averages: Mapping[str, Tensor]) -> dict[str, Any]:
        """The epoch that has ended becomes the previous one."""
        previous = self.memory["previous"]
        moved = {task: previous[task] for task in averages if task in previous}
        return {"previous": previous | dict(averages), "before": self.memory["before"] | moved}
