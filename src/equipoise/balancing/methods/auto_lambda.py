"""Auto-Lambda: learn loss weights from the effect of a step with them on validation losses."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.weights import WeightBalancer
from equipoise.balancing.context import Need, missing
from equipoise.balancing.engine import distributed
from equipoise.balancing.engine.step import Step
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.errors import NonFiniteError
from equipoise.balancing.hyper_parameters import FINITE, FINITE_POSITIVE, Rule, hyper
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.state.adam import TaskOptimizer

__all__ = ["AutoLambda"]


@register
class AutoLambda(WeightBalancer):
    """Weights learnt by looking one step ahead, at the validation losses of the primary tasks.

    Source: Liu, James, Davison and Johns, "Auto-Lambda: Disentangling Dynamic Task Relationships", TMLR 2022. With
    learning rate a, momentum buffer m and weight decay d of the optimiser and the gradients g_i of all parameters,

        theta' = theta - a (m + sum_i lambda_i g_i + d theta),    dL/dlambda_i = -a <g_i, grad L_primary(theta')>

    lambda takes an Adam step against this derivative, and the network's step uses the new lambda. It may become
    negative. The authors approximate the product by finite differences over two further forward passes. Here it is
    exact, and costs a pass through the trunk for each task. As in published code the look-ahead is a step of plain
    gradient descent with momentum, whatever the optimiser is. theta is restored exactly.

    The authors' "validation" batches are training batches in another order. Do not use the data by which you choose
    checkpoints: this would train on them.

    Args:
        learning_rate: Learning rate of lambda (Adam).
        initial: lambda at the start.
        primary: Tasks whose validation losses count. None for all.

    Example:
        >>> import torch, equipoise
        >>> _ = torch.manual_seed(0)
        >>> trunk, head = torch.nn.Linear(3, 2), torch.nn.Linear(2, 2)
        >>> def forward():
        ...     features = trunk(torch.randn(4, 3))
        ...     a, b = head(features).square().mean(0)
        ...     return equipoise.Forward({"a": a, "b": b}, features)
        >>> optimizer = torch.optim.SGD([*trunk.parameters(), *head.parameters()], lr=0.1)
        >>> context = equipoise.Context(validation=forward, optimizer=optimizer)
        >>> first = forward()
        >>> balance = equipoise.AutoLambda().backward(first.losses, features=first.features, context=context)
        >>> balance.weights["a"] > 0.1
        tensor(True)
    """

    info = MethodInfo(
        name="auto_lambda",
        title="Auto-Lambda",
        paper='Liu et al., "Auto-Lambda: Disentangling Dynamic Task Relationships", TMLR 2022',
        default_place=Place.SHARED,
        scale="learnt: the weights start at 0.1 and sum to nothing in particular",
        state="lambda with Adam's moments",
        needs=frozenset({Need.VALIDATION, Need.OPTIMIZER}),
    )

    learning_rate: float = hyper(
        default=1e-4, rule=FINITE_POSITIVE, source="the authors' code for dense prediction: 1e-4"
    )
    initial: float = hyper(default=0.1, rule=FINITE, source="the authors' code: 0.1")
    primary: Sequence[str] | None = hyper(
        default=None,
        rule=Rule("hold at least one task, or be None", lambda primary: primary is None or len(primary) > 0),
        source="all tasks; the paper also has auxiliary ones",
    )

    @cached_property
    def _optimizer(self) -> TaskOptimizer:
        """Optimiser of lambda."""
        return TaskOptimizer(self.learning_rate, "adam", self.initial)

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return self._optimizer.initial_state()

    def weigh(self, inputs: StepInputs) -> Tensor:
        """Take a step of lambda, and return it."""
        slope = self._slope(inputs, self._optimizer.values(self.state, inputs.tasks, inputs.losses))
        if slope is not None:
            self.state = self._optimizer.step(self.state, inputs.tasks, slope)
        return self._optimizer.values(self.state, inputs.tasks, inputs.losses)

    def _slope(self, inputs: StepInputs, weights: Tensor) -> Tensor | None:
        context, step, gradients, scale = inputs.context, inputs.step, inputs.gradients, inputs.scale
        assert step is not None
        assert gradients is not None
        if context.optimizer is None:
            raise missing(Need.OPTIMIZER, self.info.name, "optimizer")
        rates: dict[Tensor, float] = {}
        ahead: dict[Tensor, Tensor] = {}
        update = step.update_from_gradients(gradients, weights, weights)
        for group in context.optimizer.param_groups:
            for leaf in group["params"]:
                if leaf in update:
                    state = context.optimizer.state.get(leaf, {})
                    move = update[leaf] / scale + group.get("weight_decay", 0.0) * leaf.detach()
                    if (momentum := state.get("momentum_buffer")) is not None:
                        move = move + group["momentum"] * momentum
                    rates[leaf] = group["lr"]
                    ahead[leaf] = leaf.detach() - group["lr"] * move
        validation = self._validation_gradient(inputs, ahead)
        if validation is None:
            return None
        slopes = torch.zeros(len(step.tasks), dtype=torch.float64, device=inputs.losses.device)
        for number, (pieces, own) in enumerate(zip(gradients.pieces, step.own_gradients(), strict=True)):
            for leaf, gradient in [*zip(gradients.like, pieces, strict=True), *own.items()]:
                if gradient is not None and leaf in validation and leaf in rates:
                    product = torch.sum(gradient.double() * validation[leaf].double())
                    slopes[number] -= rates[leaf] / scale * product.to(slopes.device)
        return slopes.to(inputs.losses)

    def _validation_gradient(self, inputs: StepInputs, ahead: Mapping[Tensor, Tensor]) -> dict[Tensor, Tensor] | None:
        """Return the gradient of the primary tasks' validation losses with some parameters at other values."""
        with _moved(ahead):
            losses = inputs.context.forward(Need.VALIDATION, self.info.name).losses
            losses = {task: losses[task] for task in losses if self.primary is None or task in self.primary}
            if not losses:
                return None
            step = Step.begin({task: loss * inputs.scale for task, loss in losses.items()})
            values = step.values
            gradients = step.update_from_weights(torch.ones_like(values) / inputs.scale)
        # Over all processes, so that all refuse the batch if one does.
        distributed.mean_(values)
        bad = [task for task, value in zip(step.tasks, values.isfinite().tolist(), strict=True) if not value]
        if bad or not all(bool(gradient.isfinite().all()) for gradient in gradients.values()):
            bad = bad or list(step.nonfinite_tasks(gradients))
            raise NonFiniteError(f"The validation loss or gradient of {', '.join(bad)} is NaN or infinite.", bad)
        return gradients


@contextmanager
def _moved(values: Mapping[Tensor, Tensor]) -> Iterator[None]:
    # `data` and not `copy_`: graphs that were built with the parameters as they are remain valid.
    before = {leaf: leaf.data for leaf in values}
    for leaf, value in values.items():
        leaf.data = value
    try:
        yield
    finally:
        for leaf, value in before.items():
            leaf.data = value
