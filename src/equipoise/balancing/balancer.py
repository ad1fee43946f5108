"""The base class of all methods: losses in, balanced gradients in `.grad`."""

import dataclasses
import inspect
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, TypeVar, dataclass_transform

import torch
from torch import Tensor, nn

from equipoise._core.errors import require
from equipoise._core.registry import Registry
from equipoise.balancing.balance import Balance, norms_and_cosines
from equipoise.balancing.context import Context, Need
from equipoise.balancing.engine import distributed
from equipoise.balancing.engine.accumulation import AccumulationWatch
from equipoise.balancing.engine.arguments import Layer
from equipoise.balancing.engine.graph import accumulate_grad, all_finite, not_finite
from equipoise.balancing.engine.observation import GradientObserver, measure_step
from equipoise.balancing.engine.step import Step
from equipoise.balancing.engine.task_gradients import TaskGradients
from equipoise.balancing.engine.update import StepInputs, Update
from equipoise.balancing.errors import NonFiniteError
from equipoise.balancing.hyper_parameters import check, hyper, hyper_parameters
from equipoise.balancing.info import MethodInfo, Place

Features = TypeVar("Features", Tensor, Sequence[Tensor])

STEPS_WITHOUT_EPOCH = 5000
"""Steps without `end_epoch` after which a method that needs it warns."""


_RESERVED = {"state", "skipped_steps", "training"}
"""Attributes of every balancer that its constructor sets."""


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(hyper,))
class Declared(nn.Module):
    """A module whose annotated fields are its hyper-parameters. Every subclass becomes a dataclass."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        bases = [base for base in cls.__mro__[1:] if dataclasses.is_dataclass(base)]
        inherited = {field.name for base in bases for field in dataclasses.fields(base)}
        for name in sorted(inherited & vars(cls).keys() - inspect.get_annotations(cls).keys()):
            raise TypeError(
                f"`{cls.__name__}.{name}` should be declared with its type, `{name}: ... = hyper(...)`. "
                "Without one the constructor would keep the default of the base class."
            )
        dataclasses.dataclass(kw_only=True, eq=False, repr=False)(cls)
        own = {field.name for field in dataclasses.fields(cls)} - inherited  # pyright: ignore[reportArgumentType]
        for name in sorted(own):
            if name in _RESERVED or any(hasattr(base, name) for base in cls.__bases__):
                raise TypeError(
                    f"`{cls.__name__}.{name}` should have another name. Found one that every balancer uses itself."
                )

    def __post_init__(self) -> None:
        # The dataclass has set the fields already. A module accepts plain values before its own constructor runs.
        super().__init__()
        check(self)
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType] (made one in __init_subclass__)
            if isinstance(value := getattr(self, field.name), Mapping):
                # A copy, so that later changes of the caller's mapping have no effect.
                setattr(self, field.name, dict(value))


class Balancer(Declared, ABC):
    """Base of all methods: one call that replaces `loss.backward()`.

    A method declares where it measures (`place`) and computes an `Update` (`decide`, or the simpler hooks of the bases
    in `balancing/bases`). This class and the engine do the rest. Hyper-parameters are annotated fields, see
    `equipoise.balancing.hyper_parameters`.

    The state is a dictionary of tensors and numbers, nested or not. It goes into `state_dict()` and follows the losses
    to their device. Methods put new values there. They never change a tensor or a nested dictionary in place, so that a
    refused step can be undone.

    Args:
        nonfinite: Reaction to a NaN or infinite loss or gradient: "raise" `NonFiniteError`, or "skip" the step and
            count it in `skipped_steps`. Either way `.grad` and the state stay as they were.
        between_tasks: Gradient of parameters that lie behind the features and that several tasks use, as when a task's
            decoder reads the prediction of another task. "balanced": the balanced update, as in the trunk. "summed":
            the plain sum of the task gradients, as in public code that lists the trunk's parameters alone.
    """

    info: ClassVar[MethodInfo]

    nonfinite: Literal["raise", "skip"] = hyper(default="raise")
    between_tasks: Literal["balanced", "summed"] = hyper(default="balanced")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.skipped_steps = 0
        self.state: dict[str, Any] = self.initial_state()
        self._accumulation = AccumulationWatch()
        self._since_step, self._since_epoch = 0, 0
        self._warned: set[Need] = set()

    # Hooks: a method overrides these

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {}

    def place(self, tasks: Sequence[str]) -> Place:
        """Return where the next step, with these tasks, is measured."""
        return self.info.default_place

    @property
    def needs(self) -> frozenset[Need]:
        """Requirements beyond losses, features and the last layer."""
        return self.info.needs

    def objectives(
        self, losses: Mapping[str, Tensor], features: Sequence[Tensor], context: Context
    ) -> Mapping[str, Tensor]:
        """Return the scalar to differentiate for each task: its loss, or its loss plus a term of the method."""
        return losses

    @abstractmethod
    def decide(self, inputs: StepInputs) -> Update:
        """Compute the update of a step."""

    def on_step_end(self, context: Context | None) -> None:
        """Learn from the effect of the optimiser's step. `after_step` calls this."""

    def on_epoch_end(self) -> None:
        """Close an epoch. `end_epoch` calls this."""

    # Interface: a training loop calls these

    def backward(
        self,
        losses: Mapping[str, Tensor],
        *,
        features: Tensor | Sequence[Tensor] | None = None,
        shared: Iterable[Tensor] | None = None,
        last_layer: Layer | None = None,
        retain_graph: bool = False,
        scaler: torch.amp.GradScaler | None = None,
        context: Context | None = None,
        probe: GradientObserver | None = None,
    ) -> Balance:
        """Accumulate the balanced gradient into `.grad`, as `loss.backward()` accumulates that of one loss.

        Under `torch.distributed` the losses and gradients are means over all processes, wrapped modules or not.

        Args:
            losses: A scalar for each task that has labels in this batch, without weights and without a scaler's factor.
            features: The shared representation: the tensor or tensors that the task heads read. Everything they were
                computed from is shared. If the trunk continues from one of them (heads at several depths), give the
                heads `feature.view_as(feature)` and pass that here. Otherwise the step is correct but slower.
            shared: Parameters to treat as shared. Without `features` the default is the parameters that more than one
                loss depends on.
            last_layer: The last layer that all tasks share, for methods that measure there.
            retain_graph: Keep the graph for another backward pass.
            scaler: The gradient scaler of fp16 training. Methods see unscaled values, `.grad` receives scaled ones. A
                step with infinite gradients leaves the method's state alone and is passed on for the scaler to skip.
            context: Further forward passes and batches, for methods that need them (`needs`).
            probe: An observer of the step, such as `equipoise.Probe`. It costs nothing more if it measures at the same
                place as the method.

        Returns:
            Losses, weights, and norms and cosines if the method measured gradients.

        Raises:
            NonFiniteError: A loss or gradient is NaN or infinite, and `nonfinite` is "raise". The error names the
                tasks. It names all tasks if only the gradient of their sum was computed and the tasks' own parameters
                do not show which one it is.
            ValueError: An argument is wrong, or something that this method needs is missing.
        """
        given = [features] if isinstance(features, Tensor) else list(features or ())
        context = context or Context()
        observer = probe if probe is not None and probe.due() else None
        self._warn_of_missing_calls()
        summed = self.between_tasks == "summed"
        begin = partial(
            Step.begin, losses, given, list(shared or ()), last_layer=last_layer, scaler=scaler, summed=summed
        )
        step = begin(retain_graph=retain_graph, objectives=lambda: self.objectives(losses, given, context))
        tasks, values = step.tasks, step.values
        distributed.mean_(values)
        by_task = dict(zip(tasks, values, strict=True))
        if bad := not_finite(tasks, values):
            return self._refuse(by_task, bad, "loss")

        self.state = _moved(self.state, values.device)
        place = self.place(tasks)
        observed = None
        if observer is not None and observer.at is not place:
            # Measuring at the shared parameters uses up a step, and `step` still has to make the update.
            apart = begin(retain_graph=True) if observer.at is Place.SHARED else step
            observed = apart.gradients(observer.at, "the probe")
        # A probe at the same place reads single entries after the step.
        measure = step.products if observer is None or observed is not None else step.gradients
        measured = measure(place, self.info.name)
        gram = None if measured is None else _reduced_gram(measured, place, values.device)
        if gram is not None and (bad := not_finite(tasks, gram.diagonal())):
            if scaler is None:
                return self._refuse(by_task, bad, "gradient")
            return self._pass_on(by_task, Update(torch.ones_like(values)).received(step, measured, place))

        inputs = StepInputs(tasks, values, gram, measured, _detached(step, place), context, step)
        try:
            update, received, finite = self._decide(inputs, step, place)
        except NonFiniteError as error:
            # The value is of another batch that the method evaluated.
            if self.nonfinite == "raise":
                raise
            return self._refuse(by_task, error.tasks, "loss or gradient")
        if not finite:
            if update.weights is not None and (bad := not_finite(tasks, update.weights)):
                return self._refuse(by_task, bad, "weight")
            if scaler is None:
                return self._refuse(by_task, step.nonfinite_tasks(received), "gradient")
            return self._pass_on(by_task, received)

        weights = update.weights.to(values) if update.weights is not None and update.complete else None
        if observer is not None:
            observer.write(measure_step(inputs, observer.at, observed, weights, update.direction, received))
        leaves = list(received)
        accumulate_grad(received)
        self._count_step(leaves)
        used = None if weights is None else dict(zip(tasks, weights, strict=True))
        return Balance(by_task, used, **({} if gram is None else norms_and_cosines(tasks, gram)))

    def after_step(self, context: Context | None = None) -> None:
        """Tell the method that the optimiser has stepped. Some measure the effect of the step, or train own parameters.

        Args:
            context: As for `backward`. `again` gives the batch of the step, at the new weights.

        Raises:
            ValueError: The context lacks something that this method needs.
        """
        self._since_step = 0
        self.on_step_end(context)

    def end_epoch(self) -> None:
        """Tell the method that an epoch of training has ended. Methods that do not use epochs ignore it."""
        self._since_epoch = 0
        self.on_epoch_end()

    def adapt(self, task: str, features: Features) -> Features:
        """Return the features that a task's head should read, during training and afterwards.

        Args:
            task: The task.
            features: The tensor or tensors that you pass to `backward` as `features`.
        """
        return features

    def extra_repr(self) -> str:
        """Return the hyper-parameters for `print`."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in hyper_parameters(type(self)))

    # Checkpoints

    def get_extra_state(self) -> dict[str, Any]:
        """Return the state for `state_dict()`, with the name of the method."""
        return {"method": self.info.name, "state": dict(self.state), "skipped_steps": self.skipped_steps}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Load the state of a `state_dict()`.

        Raises:
            ValueError: It is the state of another method.
        """
        require(state["method"] == self.info.name, "state['method']", state["method"], f"be {self.info.name!r}")
        self.state = dict(state["state"])
        self.skipped_steps = state["skipped_steps"]

    # Parts of a step

    def _decide(self, inputs: StepInputs, step: Step, place: Place) -> tuple[Update, dict[Tensor, Tensor], bool]:
        # The update, what the leaves receive, and whether that is finite. If not, the state stays as it was.
        before = dict(self.state)
        finite = False
        try:
            update = self.decide(inputs)
            received = update.received(step, inputs.gradients, place)
            finite = all_finite(received.values())
            return update, received, finite
        finally:
            if not finite:
                self.state = before

    def _count_step(self, leaves: Sequence[Tensor]) -> None:
        self._since_step += 1
        self._since_epoch += 1
        if Need.AFTER_STEP in self.needs:
            self._accumulation.note(leaves)

    def _warn_of_missing_calls(self) -> None:
        name, needs = self.info.name, self.needs
        if Need.AFTER_STEP in needs and self._since_step and not self._accumulation.accumulating():
            self._warn_once(
                Need.AFTER_STEP,
                f"{name} learns from every step of the optimiser, but `after_step` was not called after the last "
                "`backward`. Call `balancer.after_step(context)` after `optimizer.step()`.",
            )
        if Need.END_EPOCH in needs and self._since_epoch >= STEPS_WITHOUT_EPOCH:
            self._warn_once(
                Need.END_EPOCH,
                f"{name} changes its weights when an epoch ends, but `end_epoch` was not called for "
                f"{self._since_epoch} steps. Call `balancer.end_epoch()` after every epoch, or give it a `window`.",
            )

    def _warn_once(self, need: Need, message: str) -> None:
        if need not in self._warned:
            self._warned.add(need)
            warnings.warn(message, stacklevel=4)

    def _pass_on(self, losses: dict[str, Tensor], received: dict[Tensor, Tensor]) -> Balance:
        # The scaler finds the infinite gradients and skips the optimiser's step.
        self._since_step = 0
        accumulate_grad(received)
        return Balance(losses, skipped=True)

    def _refuse(self, losses: dict[str, Tensor], tasks: tuple[str, ...], what: str) -> Balance:
        if self.nonfinite == "raise":
            listed = ", ".join(f"`{task}`" for task in tasks)
            raise NonFiniteError(
                f"The {what} of {listed} is NaN or infinite; no `.grad` was changed. Look for a division by zero, an "
                "overflow or a learning rate that is too high, or create the balancer with `nonfinite='skip'` to "
                "leave such steps out.",
                tasks,
            )
        self.skipped_steps += 1
        # No call of `after_step` is due.
        self._since_step = 0
        return Balance(losses, skipped=True)


def _name_of(method: type[Balancer]) -> str:
    if not isinstance(getattr(method, "info", None), MethodInfo):
        raise ValueError(f"Method `{method.__name__}` should have `info = equipoise.MethodInfo(name=..., ...)`.")
    return method.info.name


methods: Registry[Balancer] = Registry(
    "method",
    Balancer,
    package="equipoise.balancing.methods",
    group="equipoise.methods",
    name_of=_name_of,
)


def _reduced_gram(measured: TaskGradients, place: Place, device: torch.device) -> Tensor:
    gram = measured.gram().to(device)
    if place is Place.FEATURES:
        # Each process holds the gradients of its part of the batch.
        distributed.sum_(gram)
    return gram


def _detached(step: Step, place: Place) -> tuple[Tensor, ...]:
    return tuple(feature.detach() for feature in step.features) if place is Place.FEATURES else ()


def _moved(state: dict[str, Any], device: torch.device) -> dict[str, Any]:
    # Floating-point values only: the state of a random generator stays on the CPU.
    def move(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: move(inner) for key, inner in value.items()}
        return value.to(device) if isinstance(value, Tensor) and value.is_floating_point() else value

    return {key: move(value) for key, value in state.items()}
