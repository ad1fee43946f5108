"""FAMO: equal relative decrease of all losses, learnt from the losses before and after each step."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.weights import WeightBalancer
from equipoise.balancing.context import Context, Need
from equipoise.balancing.engine import distributed
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import FINITE, FINITE_POSITIVE, NON_NEGATIVE, each, hyper
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.state.adam import TaskOptimizer
from equipoise.balancing.state.per_task import read_tasks, write_tasks

__all__ = ["FAMO", "famo_gradient", "famo_weights"]

_MARGIN = 1e-8


@torch.no_grad()
def famo_weights(losses: Tensor, logits: Tensor, minima: Tensor | float = 0.0) -> Tensor:
    r"""Weights of FAMO (Liu et al., NeurIPS 2023).

    $$
    w_i = \frac{z_i / D_i}{\sum_j z_j / D_j},\qquad z = \mathrm{softmax}(\xi),\qquad D_i = L_i - b_i + 10^{-8}
    $$

    Args:
        losses: Losses, at least `minima`, shape `[T]`.
        logits: $\xi$, shape `[T]`. Zeros at the start.
        minima: Lower bounds `b` of the losses, shape `[T]` or one number.

    Returns:
        Positive weights that sum to 1, shape `[T]`.

    Example:
        >>> import torch
        >>> famo_weights(torch.tensor([1.0, 3.0]), torch.zeros(2))
        tensor([0.7500, 0.2500])
    """
    scaled = logits.softmax(0) / (losses - minima + _MARGIN)
    return scaled / scaled.sum()


@torch.no_grad()
def famo_gradient(before: Tensor, after: Tensor, logits: Tensor, minima: Tensor | float = 0.0) -> Tensor:
    r"""Gradient for the logits of FAMO. A step against it lowers the weights of the tasks that improved most.

    $$
    \nabla_\xi = z \odot (\delta - z^T \delta),\ \delta_i = \log D_i(\text{before}) - \log D_i(\text{after})
    $$

    The paper uses it with Adam, coupled L2 decay (its gamma) and a learning rate of 0.025.

    Args:
        before: Losses of a batch before the model's step, shape `[T]`.
        after: Losses of the same batch after it, shape `[T]`.
        logits: $\xi$ of that step, shape `[T]`.
        minima: Lower bounds `b` of the losses, shape `[T]` or one number.

    Returns:
        The gradient, shape `[T]`. It is zero if all losses fell by the same ratio.

    Example:
        >>> import torch
        >>> famo_gradient(torch.tensor([1.0, 3.0]), torch.tensor([0.5, 1.5]), torch.zeros(2)).abs() < 1e-6
        tensor([True, True])
    """
    shares = logits.softmax(0)
    decrease = (before - minima + _MARGIN).log() - (after - minima + _MARGIN).log()
    return shares * (decrease - torch.dot(shares, decrease))


@register
class FAMO(WeightBalancer):
    """Weights w_i proportional to softmax(logits)_i / (L_i - b_i), which sum to 1.

    Source: Liu et al., "FAMO: Fast Adaptive Multitask Optimization", NeurIPS 2023, algorithm 1. After the optimiser's
    step, `after_step` evaluates the same batch again, without a graph. It lowers the logits of the tasks whose losses
    fell most relative to their size. The network is evaluated in its current mode, as in the authors' code. Unlike
    there, batch statistics and random generators do not change if you use `equipoise.undisturbed`.

    Call `after_step` once for every step of the optimiser. With accumulated gradients the last batch counts. If a loss
    after the step is not finite or below its minimum, the logits stay as they are. Tasks that are missing in a batch
    keep their logits, and the others share the weight of 1.

    Args:
        learning_rate: Learning rate of the logits (Adam).
        gamma: Decay of the logits, added to their gradient (L2, before Adam). The authors' command line has 1e-2.
        minima: Lower bounds b of the losses: one number, or one for each task.

    Example:
        >>> import torch, equipoise
        >>> layer = torch.nn.Linear(1, 2, bias=False)
        >>> def forward():
        ...     a, b = (layer(torch.ones(1, 1))[0] - 1).square()
        ...     return equipoise.Forward({"a": a, "b": b})
        >>> balancer = equipoise.FAMO()
        >>> balance = balancer.backward(forward().losses)
        >>> torch.optim.SGD(layer.parameters(), lr=0.1).step()
        >>> balancer.after_step(equipoise.Context(again=forward))
    """

    info = MethodInfo(
        name="famo",
        title="FAMO",
        paper='Liu et al., "FAMO: Fast Adaptive Multitask Optimization", NeurIPS 2023, algorithm 1',
        default_place=Place.LOSSES,
        scale="simplex: the weights sum to 1",
        state="logits with Adam's moments; losses between `backward` and `after_step`",
        needs=frozenset({Need.AGAIN, Need.AFTER_STEP}),
    )

    learning_rate: float = hyper(default=0.025, rule=FINITE_POSITIVE, source="the authors' code: 0.025")
    gamma: float = hyper(default=1e-3, rule=NON_NEGATIVE, source="the paper's algorithm: 0.001")
    minima: float | Mapping[str, float] = hyper(default=0.0, rule=each(FINITE), source="the paper: 0")

    @cached_property
    def _optimizer(self) -> TaskOptimizer:
        """Optimiser of the logits."""
        return TaskOptimizer(self.learning_rate, "adam", initial=0.0)

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"logits": self._optimizer.initial_state(), "before": {}}

    def weigh(self, inputs: StepInputs) -> Tensor:
        """Compute the weights from the logits, and store the losses for `after_step`."""
        minima = self._minima(inputs.tasks, inputs.losses)
        for task, margin in zip(inputs.tasks, (inputs.losses - minima).tolist(), strict=True):
            if margin < 0:
                raise ValueError(
                    f"`losses[{task!r}]` should be at least its minimum: FAMO takes the logarithm of the difference. "
                    f"Found {-margin:g} less. Give FAMO lower `minima`."
                )
        self.state = self.state | {"before": write_tasks({}, inputs.tasks, inputs.losses)}
        logits = self._optimizer.values(self.state["logits"], inputs.tasks, inputs.losses)
        return famo_weights(inputs.losses, logits, minima)

    @torch.no_grad()
    def on_step_end(self, context: Context | None) -> None:
        """Learn from the change of the losses of this batch.

        Raises:
            ValueError: The context cannot evaluate the batch again, or gives other tasks.
        """
        stored: dict[str, Tensor] = self.state["before"]
        if not stored:
            return
        tasks = tuple(stored)
        found = (context or Context()).forward(Need.AGAIN, self.info.name).losses
        if found.keys() != stored.keys():
            raise ValueError(
                f"`context.again` should give the losses of {', '.join(tasks)}, as the step did. Found losses of "
                f"{', '.join(found) or 'no task'}. Evaluate the batch of the step."
            )
        before = read_tasks(stored, tasks, next(iter(stored.values())))
        after = read_tasks({task: loss.detach().reshape(()) for task, loss in found.items()}, tasks, before[0])
        distributed.mean_(after)
        held = self.state["logits"]
        logits = self._optimizer.values(held, tasks, before)
        gradient = famo_gradient(before, after, logits, self._minima(tasks, before)) + self.gamma * logits
        if bool(gradient.isfinite().all()):
            held = self._optimizer.step(held, tasks, gradient)
        self.state = {"logits": held, "before": {}}

    def _minima(self, tasks: tuple[str, ...], like: Tensor) -> Tensor:
        given = self.minima
        return like.new_tensor([given.get(task, 0.0) if isinstance(given, dict) else given for task in tasks])
