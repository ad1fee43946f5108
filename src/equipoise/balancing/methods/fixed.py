"""Fixed weights, from a search or an earlier run."""

from collections.abc import Mapping

import torch
from torch import Tensor

from equipoise._core.errors import require
from equipoise._core.registry import register
from equipoise.balancing.bases.weights import WeightBalancer
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import FINITE_NON_NEGATIVE, each, hyper
from equipoise.balancing.info import MethodInfo, Place

__all__ = ["Fixed", "fixed_weights"]


@torch.no_grad()
def fixed_weights(step_weights: Tensor, decay: float = 0.9) -> Tensor:
    r"""Constant loss weights distilled from a whole run of a balancing method (Gama & Grassi 2025).

    The weights are averaged over the steps of each epoch and scaled to sum to 1. Then they are averaged over the
    epochs: $q(e) = \beta q(e - 1) + (1 - \beta) \hat w(e)$, starting from the first epoch without bias correction. The
    result is the last average, scaled to sum to 1.

    Args:
        step_weights: Effective weights of every step, shape `[epochs, steps, T]`.
        decay: $\beta$ in [0, 1).

    Returns:
        Weights that sum to 1, shape `[T]`.

    Raises:
        ValueError: If `step_weights` has no epochs or steps, `decay` is out of range, or the weights of an epoch
            have no positive sum, which methods with negative weights can produce.

    Example:
        >>> import torch
        >>> fixed_weights(torch.tensor([[[1.0, 3.0], [1.0, 3.0]]]))
        tensor([0.2500, 0.7500])
    """
    if step_weights.ndim != 3 or 0 in step_weights.shape:
        raise ValueError(
            f"`step_weights` should have the shape [epochs, steps, T], none of them 0. "
            f"Found {list(step_weights.shape)}."
        )
    if not 0 <= decay < 1:
        raise ValueError(f"`decay` should be in [0, 1). Found `decay = {decay}`.")
    epochs = step_weights.mean(1)
    totals = epochs.sum(1)
    if not (totals > 0).all():
        raise ValueError(
            "`step_weights` should have a positive sum in every epoch to be scaled to 1. "
            f"Found sums of the epochs' means {totals.tolist()}."
        )
    average = epochs[0] / totals[0]
    for epoch, total in zip(epochs[1:], totals[1:], strict=True):
        average = decay * average + (1 - decay) * epoch / total
    return average / average.sum()


@register
class Fixed(WeightBalancer):
    """Constant weights w_i: the loss is sum_i w_i L_i.

    The weights that Guo et al. (2025) found by a search are `{"seg": 1, "depth": 1, "normals": 2, "edge": 50}` on
    NYUD-v2 and `{"seg": 1, "parts": 2, "saliency": 5, "normals": 5, "edge": 50}` on PASCAL-Context.

    Args:
        weights: A finite weight, zero or more, for every task that will have a loss.

    Raises:
        ValueError: There are no weights, or one is negative or not finite. On `backward`: a task has no weight.

    Example:
        >>> import torch, equipoise
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> balancer = equipoise.Fixed(weights={"a": 10.0, "b": 0.5})
        >>> _ = balancer.backward({"a": x.sum(), "b": (x * x).sum()})
        >>> x.grad
        tensor([11., 12.])
    """

    info = MethodInfo(
        name="fixed",
        title="Fixed weights",
        paper="grid search in Guo et al. 2025, section V; distilled from a run in Gama & Grassi 2025",
        default_place=Place.LOSSES,
        scale="as the weights say",
    )

    weights: Mapping[str, float] = hyper(rule=each(FINITE_NON_NEGATIVE))

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.weights) > 0, "weights", self.weights, "hold a weight for every task")

    def weigh(self, inputs: StepInputs) -> Tensor:
        """Return the given weights, in the order of the losses."""
        missing = [task for task in inputs.tasks if task not in self.weights]
        require(not missing, "weights", self.weights, f"hold a weight for every task, also for {', '.join(missing)}")
        return inputs.losses.new_tensor([self.weights[task] for task in inputs.tasks])
