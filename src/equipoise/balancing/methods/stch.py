"""STCH: a smooth maximum of the logarithms of the losses."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch
from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.checks import require
from equipoise.balancing.epoch_balancer import EpochBalancer
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import si, stch_of_logarithms
from equipoise.balancing.positive import positive_losses
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class STCH(EpochBalancer):
    """Weights w = T softmax(f / mu) / L with f_i = log(L_i / nadir_i), the gradient of T mu log sum_i exp(f_i / mu).

    That is smooth Tchebycheff scalarisation as its authors train networks with it, and LibMTL after them. During the
    warm-up the loss is sum_i log L_i (the weights of `si`); the nadir is the average loss of the warm-up's last epoch.
    A task that was not there then has the average of its own first epoch after it, and until that ends its loss counts
    as its nadir. Call `end_epoch()` after every epoch, or set `window`: otherwise the warm-up never ends.

    The plain formula without logarithms (TorchJD) is `equipoise.functional.stch`. A task whose loss is zero has the
    weight 0.

    Args:
        mu: Smoothness; towards 0 the worst task takes all the weight.
        warmup_epochs: Epochs of warm-up, at least 1. The authors' 4 stands for epochs 0 to 4.
        window: Number of steps that count as an epoch; none to wait for `end_epoch`.

    Raises:
        ValueError: On `backward`, a loss is negative.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> balancer = equipoise.STCH(warmup_epochs=1)
        >>> for scale in (1.0, 3.0):
        ...     balance = balancer.backward({"constant": x.sum(), "rising": scale * x.sum()})
        ...     balancer.end_epoch()
        >>> balance.weights
        {'constant': tensor(0.2500), 'rising': tensor(0.2500)}
    """

    record = Method(
        name="stch",
        title="Smooth Tchebycheff scalarization",
        paper='Lin et al., "Smooth Tchebycheff Scalarization for Multi-Objective Optimization", ICML 2024',
        sees=Source.LOSSES,
        scale="sum of logarithms: the weighted losses sum to T",
        state="average losses of the current epoch, nadir, number of epochs",
        sources={"mu": "authors' code", "warmup_epochs": "authors' code", "window": "authors' code: epochs"},
    )

    def __init__(
        self, *, mu: float = 1.0, warmup_epochs: int = 5, window: int | None = None, **common: Unpack[Common]
    ) -> None:
        super().__init__(window=window, **common)
        require(mu > 0, "mu", mu, "be positive")
        require(warmup_epochs >= 1, "warmup_epochs", warmup_epochs, "be at least 1")
        self.mu, self.warmup_epochs = mu, warmup_epochs
        self.memory = self.memory | {"epochs": 0, "nadir": {}}

    def weights_now(self, evidence: Evidence) -> Tensor:
        """Those of the warm-up, or of the smooth maximum among the positive losses."""
        positive = positive_losses(evidence, "stch")
        losses = evidence.losses.double()
        if self.memory["epochs"] < self.warmup_epochs:
            return torch.where(positive, si(losses), torch.zeros_like(losses))
        nadir = [self.memory["nadir"].get(t, loss) for t, loss in zip(evidence.tasks, losses, strict=True)]
        weights = torch.zeros_like(losses)
        weights[positive] = stch_of_logarithms(losses[positive], torch.stack(nadir)[positive], self.mu)
        return weights

    def learned(self, averages: Mapping[str, Tensor]) -> dict[str, Any]:
        """The nadir at the end of the warm-up, and later that of tasks without one."""
        epochs, nadir = self.memory["epochs"] + 1, self.memory["nadir"]
        return {"epochs": epochs, "nadir": dict(averages) | nadir if epochs >= self.warmup_epochs else nadir}
