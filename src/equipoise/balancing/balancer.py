"""The balancer: losses in, balanced gradients in `.grad`."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypedDict, TypeVar

import torch
from torch import Tensor, nn

from equipoise._core.errors import require
from equipoise._core.registry import Registry
from equipoise.balancing.balance import Balance, norms_and_cosines
from equipoise.balancing.context import Context, Need
from equipoise.balancing.engine import distributed
from equipoise.balancing.engine.graph import accumulate_grad, all_finite, not_finite
from equipoise.balancing.engine.observation import GradientObserver, measure_step, observe, observe_gram
from equipoise.balancing.engine.step import open_step
from equipoise.balancing.engine.update import StepInputs, Update, gradients_of
from equipoise.balancing.errors import NonFiniteError
from equipoise.balancing.info import MethodInfo, Place

Features = TypeVar("Features", Tensor, Sequence[Tensor])


class Common(TypedDict, total=False):
    """Options that every balancer takes."""

    nonfinite: Literal["raise", "skip"]
    between_tasks: Literal["balanced", "summed"]


class Balancer(nn.Module, ABC):
    """Base of all methods: one call that replaces `loss.backward()`.

    A method says what it must see (`source`) and what it makes of it (`decide`, or more conveniently what the bases in
    `balancing/bases.py` ask for); this class and the engine do the rest. What it remembers lives in `memory`, a
    dictionary of tensors and numbers, nested or not, that goes into `state_dict()` and follows the losses to their
    device. Methods put new values there and never change a tensor or a nested dictionary in place, so that a refused
    step can be undone.

    Args:
        nonfinite: What to do about a NaN or infinite loss or gradient: "raise" `NonFiniteError`, or "skip" the step and
            count it in `skipped_steps`. Either way no `.grad` is touched and the memory stays as it was.
        between_tasks: What parameters receive that several tasks use although they lie behind the features, as where
            a task's decoder reads what another task predicts: "balanced", the balanced update like the trunk, or
            "summed", the plain sum of the task gradients, as in public code that lists the trunk's parameters alone.
    """

    info: ClassVar[MethodInfo]

    def __init__(
        self,
        *,
        nonfinite: Literal["raise", "skip"] = "raise",
        between_tasks: Literal["balanced", "summed"] = "balanced",
    ) -> None:
        super().__init__()
        require(nonfinite in ("raise", "skip"), "nonfinite", nonfinite, "be 'raise' or 'skip'")
        require(between_tasks in ("balanced", "summed"), "between_tasks", between_tasks, "be 'balanced' or 'summed'")
        self.nonfinite = nonfinite
        self.between_tasks = between_tasks
        self.skipped_steps = 0
        self.state: dict[str, Any] = {}

    # What a method says

    def source(self, tasks: Sequence[str]) -> Place:
        """What must be seen of the step that is about to be made with these tasks."""
        return self.info.default_place

    @property
    def needs(self) -> frozenset[Need]:
        """What it needs beyond losses, features and the last layer."""
        return self.info.needs

    def objectives(
        self, losses: Mapping[str, Tensor], features: Sequence[Tensor], context: Context
    ) -> Mapping[str, Tensor]:
        """What is differentiated for each task: its loss, or that and what the method adds to it."""
        return losses

    @abstractmethod
    def decide(self, inputs: StepInputs) -> Update:
        """What the parameters receive, given what was seen."""

    # What the caller calls

    def end_epoch(self) -> None:
        """To be called after every epoch of training, for the methods that go by epochs; the others do nothing."""

    def backward(
        self,
        losses: Mapping[str, Tensor],
        *,
        features: Tensor | Sequence[Tensor] | None = None,
        shared: Iterable[Tensor] | None = None,
        last_layer: nn.Module | Tensor | Sequence[Tensor] | None = None,
        retain_graph: bool = False,
        scaler: torch.amp.GradScaler | None = None,
        context: Context | None = None,
        probe: GradientObserver | None = None,
    ) -> Balance:
        """Accumulate the balanced gradient into `.grad`, as `loss.backward()` accumulates that of one loss.

        Under `torch.distributed` the losses and gradients are means over all processes, wrapped modules or not.

        Args:
            losses: A scalar for each task that has labels in this batch. Not multiplied by anything: no weights, no
                scaler.
            features: The shared representation: the tensor or tensors that the task heads read. Everything they were
                computed from is shared. Where the trunk itself goes on from one of them (heads at several depths), give
                the heads `feature.view_as(feature)` and name that, else the step is correct but slower.
            shared: Parameters to treat as shared. Needed only without `features`, and even then found by default: those
                that more than one loss depends on.
            last_layer: The last layer that all tasks share, for the methods that look there.
            retain_graph: Keep the graph for another backward pass.
            scaler: The gradient scaler of fp16 training. Methods see unscaled values, `.grad` receives scaled ones. A
                step with infinite gradients leaves the method's memory alone and is passed on for the scaler to skip.
            context: Where the methods that need more than one batch or pass get it (`needs`).
            probe: Looks at the step, such as `equipoise.Probe`. Where the method looks at the same place, it costs
                nothing more.

        Returns:
            Losses, weights and what else was measured.

        Raises:
            NonFiniteError: A loss or gradient is NaN or infinite (and `nonfinite` is "raise"). It names the tasks, or
                all tasks where only the gradient of their sum was computed and none of their own parameters tells them
                apart.
            ValueError: An argument is wrong, or misses what this method needs.
        """
        tasks = tuple(losses)
        given = [features] if isinstance(features, Tensor) else list(features or ())
        parameters = list(shared or ())
        context = context or Context()
        observer = probe if probe is not None and probe.due() else None
        values, step = open_step(
            losses,
            given,
            parameters,
            retain_graph=retain_graph,
            scaler=scaler,
            summed=self.between_tasks == "summed",
            objectives=lambda: self.objectives(losses, given, context),
        )
        distributed.mean_(values)
        by_task = dict(zip(tasks, values, strict=True))
        bad = not_finite(tasks, values)
        if bad:
            return self._refuse(by_task, bad, "loss")

        self.state = _moved(self.state, values.device)
        source = self.source(tasks)
        scale = 1.0 if scaler is None else scaler.get_scale()
        name = self.info.name
        looked = None
        if observer is not None and observer.at is Place.SHARED and source is not Place.SHARED:
            # The pass through the trunk uses a step up, and this one still has to make the update.
            summed = self.between_tasks == "summed"
            _, other = open_step(losses, given, parameters, retain_graph=True, scaler=scaler, summed=summed)
            looked = observe(other, Place.SHARED, given, last_layer, scale, "the probe")
        elif observer is not None and observer.at is not source:
            looked = observe(step, observer.at, given, last_layer, scale, "the probe")
        # A probe that looks there too reads single entries when the step is finished.
        look = observe if observer is not None and observer.at is source else observe_gram
        rows = look(step, source, given, last_layer, scale, name)
        gram = None
        if rows is not None:
            gram = rows.gram().to(values.device)
            if source is Place.FEATURES:
                distributed.sum_(gram)
            bad = not_finite(tasks, gram.diagonal())
            if bad and scaler is None:
                return self._refuse(by_task, bad, "gradient")
            if bad:
                accumulate_grad(gradients_of(Update(torch.ones_like(values)), step, rows, source))
                return Balance(by_task, skipped=True)

        before = dict(self.state)
        seen = tuple(feature.detach() for feature in step.features) if source is Place.FEATURES else ()
        try:
            update = self.decide(StepInputs(tasks, values, gram, rows, seen, context, step, scale))
            gradients = gradients_of(update, step, rows, source)
        except NonFiniteError as error:
            # In another batch, at which the method looked.
            self.state = before
            if self.nonfinite == "raise":
                raise
            return self._refuse(by_task, error.tasks, "loss or gradient")
        except BaseException:
            self.state = before
            raise
        finite = all_finite(gradients.values())
        if not finite:
            self.state = before
            if scaler is None:
                return self._refuse(by_task, step.nonfinite_tasks(gradients), "gradient")
            accumulate_grad(gradients)
            return Balance(by_task, skipped=True)
        used = update.weights.to(values) if update.weights is not None and update.complete else None
        if observer is not None:
            observer.record(
                measure_step(tasks, values, observer.at, looked, rows, gram, used, update.direction, gradients)
            )
        accumulate_grad(gradients)
        weights = None if used is None else dict(zip(tasks, used, strict=True))
        return Balance(by_task, weights, **({} if gram is None else norms_and_cosines(tasks, gram)))

    def after_step(self, context: Context | None = None) -> None:
        """Call it when the optimiser has stepped: some methods look at what the step did, or train parts of their own.

        Args:
            context: As for `backward`; `again` gives the batch that was stepped on, at the new weights.

        Raises:
            ValueError: The context misses what this method needs.
        """

    def adapt(self, task: str, features: Features) -> Features:
        """What a task's head should read in place of the features, while training and afterwards.

        Args:
            task: The task.
            features: The tensor or tensors that are given to `backward` as `features`.
        """
        return features

    # How it is done

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
        return Balance(losses, skipped=True)

    # What a checkpoint holds

    def get_extra_state(self) -> dict[str, Any]:
        """The memory, for `state_dict()`."""
        return {"state": dict(self.state), "skipped_steps": self.skipped_steps}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over the memory of a `state_dict()`."""
        self.state = dict(state["state"])
        self.skipped_steps = state["skipped_steps"]


methods: Registry[Balancer] = Registry(
    "method",
    Balancer,
    package="equipoise.balancing.methods",
    group="equipoise.methods",
    name_of=lambda method: method.info.name,
)


def _moved(memory: dict[str, Any], device: torch.device) -> dict[str, Any]:
    # Floating-point values only: the state of a random generator belongs on the processor.
    def move(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: move(inner) for key, inner in value.items()}
        return value.to(device) if isinstance(value, Tensor) and value.is_floating_point() else value

    return {key: move(value) for key, value in memory.items()}
