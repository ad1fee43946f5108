"""STCH: a smooth maximum of the logarithms of the losses."""

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
from equipoise.balancing.methods.si import si

__all__ = ["STCH", "stch", "stch_of_logarithms"]


@torch.no_grad()
def stch(losses: Tensor, mu: float = 1.0, *, preference: Tensor | None = None, ideal: Tensor | None = None) -> Tensor:
    r"""Weights of smooth Tchebycheff scalarisation (Lin et al., ICML 2024, equation of the plain method).

    $$
    S = \mu \log \sum_i \exp\big(\lambda_i (L_i - z_i) / \mu\big),\qquad
    w_i = \lambda_i\, \mathrm{softmax}_i\big(\lambda (L - z) / \mu\big)
    $$

    The paper's multi-task experiments use another recipe: `stch_of_logarithms`.

    Args:
        losses: Losses, shape `[T]`.
        mu: Smoothness, positive. Towards 0 the largest entry takes all the weight.
        preference: $\lambda$, shape `[T]`. `1 / T` by default.
        ideal: $z$, the lowest attainable losses, shape `[T]`. 0 by default.

    Returns:
        Weights, shape `[T]`.

    Raises:
        ValueError: If `mu` is not positive.

    Example:
        >>> import torch
        >>> stch(torch.tensor([1.0, 1.0]))
        tensor([0.2500, 0.2500])
    """
    _check(mu)
    scale = torch.full_like(losses, 1 / len(losses)) if preference is None else preference
    excess = losses if ideal is None else losses - ideal
    return scale * (scale * excess / mu).softmax(0)


@torch.no_grad()
def stch_of_logarithms(losses: Tensor, nadir: Tensor, mu: float = 1.0) -> Tensor:
    r"""Weights of STCH as its authors train networks: on logarithms, relative to the end of a warm-up.

    $$
    S = T \mu \log \sum_i \exp(f_i / \mu),\quad f_i = \log(L_i / \bar L_i),\qquad
    w_i = \frac{T}{L_i}\, \mathrm{softmax}_i(f / \mu)
    $$

    During the warm-up (four epochs in the authors' code) the loss is the sum of the logarithms, with the weights of
    `si`. Scaling a loss together with its nadir changes nothing.

    Args:
        losses: Positive losses, shape `[T]`.
        nadir: $\bar L$, the average losses of the last warm-up epoch, positive, shape `[T]`.
        mu: Smoothness, positive.

    Returns:
        Weights, shape `[T]`.

    Raises:
        ValueError: If `mu` is not positive.

    Example:
        >>> import torch
        >>> stch_of_logarithms(torch.tensor([1.0, 4.0]), nadir=torch.tensor([1.0, 4.0]))
        tensor([1.0000, 0.2500])
    """
    _check(mu)
    tiny = torch.finfo(losses.dtype).tiny
    positive = losses.clamp(min=tiny)
    ratios = positive.log() - nadir.clamp(min=tiny).log()
    return len(losses) * (ratios / mu).softmax(0) / positive


def _check(mu: float) -> None:
    if not mu > 0:
        raise ValueError(f"`mu` should be positive. Found `mu = {mu}`.")


@register
class STCH(EpochBalancer):
    """Weights w = T softmax(f / mu) / L with f_i = log(L_i / nadir_i), the gradient of T mu log sum_i exp(f_i / mu).

    This is smooth Tchebycheff scalarisation as its authors train networks, and LibMTL after them. During the warm-up
    the loss is sum_i log L_i (the weights of `si`). The nadir is the average loss of the last warm-up epoch. For a task
    that was missing in that epoch, it is the average of the task's first epoch afterwards. Until that epoch ends, the
    task's loss counts as its nadir. Call `end_epoch()` after every epoch, or set `window`. Otherwise the warm-up never
    ends.

    The plain formula without logarithms (TorchJD) is `equipoise.functional.stch`. A task whose loss is zero has the
    weight 0.

    Args:
        mu: Smoothness. Towards 0 the worst task takes all the weight.
        warmup_epochs: Number of warm-up epochs, at least 1. The authors' 4 means epochs 0 to 4.
        window: Number of steps that count as an epoch. None to wait for `end_epoch`.

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

    info = MethodInfo(
        name="stch",
        title="Smooth Tchebycheff scalarization",
        paper='Lin et al., "Smooth Tchebycheff Scalarization for Multi-Objective Optimization", ICML 2024',
        default_place=Place.LOSSES,
        needs=frozenset({Need.END_EPOCH}),
        scale="sum of logarithms: the weighted losses sum to T",
        state="average losses of the current epoch, nadir, number of epochs",
    )

    mu: float = hyper(default=1.0, rule=POSITIVE, source="authors' code")
    warmup_epochs: int = hyper(default=5, rule=at_least(1), source="authors' code")
    window: int | None = hyper(default=None, rule=or_none(at_least(1)), source="authors' code: epochs")

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return super().initial_state() | {"epochs": 0, "nadir": {}}

    def epoch_weights(self, inputs: StepInputs) -> Tensor:
        """Compute the weights of the warm-up, or of the smooth maximum over the positive losses."""
        positive = inputs.positive_losses("stch")
        losses = inputs.losses.double()
        if self.state["epochs"] < self.warmup_epochs:
            return torch.where(positive, si(losses), torch.zeros_like(losses))
        nadir = [self.state["nadir"].get(t, loss) for t, loss in zip(inputs.tasks, losses, strict=True)]
        weights = torch.zeros_like(losses)
        weights[positive] = stch_of_logarithms(losses[positive], torch.stack(nadir)[positive], self.mu)
        return weights

    def state_after_epoch(self, averages: Mapping[str, Tensor]) -> dict[str, Any]:
        """Set the nadir at the end of the warm-up, and later for tasks without one."""
        epochs, nadir = self.state["epochs"] + 1, self.state["nadir"]
        return {"epochs": epochs, "nadir": dict(averages) | nadir if epochs >= self.warmup_epochs else nadir}
