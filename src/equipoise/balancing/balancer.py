"""The balancer: losses in, balanced gradients in `.grad`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, TypedDict, TypeVar
from zlib import crc32

import torch
from torch import Tensor, nn

from equipoise.balancing import processes
from equipoise.balancing.checks import require
from equipoise.balancing.context import Context, Need
from equipoise.balancing.errors import NonFiniteError
from equipoise.balancing.gradients import Rows, Source, Step
from equipoise.balancing.graph import deliver
from equipoise.balancing.measurement import Witness
from equipoise.balancing.observation import observe, testify
from equipoise.balancing.registry import Method

Features = TypeVar("Features", Tensor, Sequence[Tensor])


class Common(TypedDict, total=False):
    """Options that every balancer takes."""

    nonfinite: Literal["raise", "skip"]
    between_tasks: Literal["balanced", "summed"]


@dataclass(frozen=True)
class Evidence:
    """What a method sees of one step.

    Tensors carry no graph and, but for those at the features, are the same on every process.

    Attributes:
        tasks: The T tasks present, in the order of the losses.
        losses: [T], means over processes.
        gram: Inner products of the task gradients, [T, T], float64, if the method asked for gradients.
        gradients: The task gradients themselves, in pieces, if it asked for gradients.
        features: The features, if it looks there; like the gradients there, those of this process's part of the batch.
        context: Where further forward passes come from.
        step: The step that is being made, for the methods that go on differentiating.
        scale: What the gradients of `step`, and those that arrive in `.grad`, are multiplied by: the scaler's factor.
    """

    tasks: tuple[str, ...]
    losses: Tensor
    gram: Tensor | None = None
    gradients: Rows | None = None
    features: tuple[Tensor, ...] = ()
    context: Context = field(default_factory=Context)
    step: Step | None = None
    scale: float = 1.0

    @cached_property
    def rows(self) -> Tensor:
        """The task gradients as a matrix of their own, [T, P].

        Raises:
            TypeError: The method did not ask for gradients.
        """
        if self.gradients is None:
            raise TypeError(
                "A method that sees losses alone has no gradients to look at; its `source` should say what it needs."
            )
        return self.gradients.matrix()


@dataclass(frozen=True)
class Decision:
    """What a method makes of the evidence.

    Attributes:
        weights: [T], of the task gradients in the update of the shared parameters; none if it gives a direction.
        direction: [P], the gradient that the shared parameters (or the features) receive instead of a weighted sum.
        head_weights: [T], for the tasks' own parameters; none if they are the weights, or ones where there are no
            weights.
        complete: Whether the weighted sum of the losses' gradients is the whole update: not if `objectives` adds to it.
    """

    weights: Tensor | None = None
    direction: Tensor | None = None
    head_weights: Tensor | None = None
    complete: bool = True


@dataclass(frozen=True)
class Balance:
    """What one step did. Tensors are on the losses' device; reading one as a number waits for the device.

    Attributes:
        losses: Loss by task, mean over processes.
        weights: What each task's loss was multiplied by, for methods whose update is a weighted sum of their gradients.
        norms: Norm of each task's unweighted gradient, where the method measured it.
        cosines: Cosines between task gradients, [T, T] in the order of `losses`, where the method measured them.
        skipped: Whether the step was left out because a loss or gradient was not finite. There is nothing for an
            optimiser to do then, except under a gradient scaler, which skips the step itself.
    """

    losses: dict[str, Tensor]
    weights: dict[str, Tensor] | None = None
    norms: dict[str, Tensor] | None = None
    cosines: Tensor | None = None
    skipped: bool = False


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

    record: ClassVar[Method]

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
        self.memory: dict[str, Any] = {}

    # What a method says

    def source(self, tasks: Sequence[str]) -> Source:
        """What must be seen of the step that is about to be made with these tasks."""
        return self.record.sees

    @property
    def needs(self) -> frozenset[Need]:
        """What it needs beyond losses, features and the last layer."""
        return self.record.needs

    def objectives(
        self, losses: Mapping[str, Tensor], features: Sequence[Tensor], context: Context
    ) -> Mapping[str, Tensor]:
        """What is differentiated for each task: its loss, or that and what the method adds to it."""
        return losses

    @abstractmethod
    def decide(self, evidence: Evidence) -> Decision:
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
        probe: Witness | None = None,
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
        witness = probe if probe is not None and probe.due() else None
        values, step = open_step(
            losses,
            given,
            parameters,
            retain_graph=retain_graph,
            scaler=scaler,
            summed=self.between_tasks == "summed",
            objectives=lambda: self.objectives(losses, given, context),
        )
        processes.mean_(values)
        by_task = dict(zip(tasks, values, strict=True))
        bad = _not_finite(tasks, values)
        if bad:
            return self._refuse(by_task, bad, "loss")

        self.memory = _moved(self.memory, values.device)
        source = self.source(tasks)
        scale = 1.0 if scaler is None else scaler.get_scale()
        name = self.record.name
        looked = None
        if witness is not None and witness.at is Source.SHARED and source is not Source.SHARED:
            # The pass through the trunk uses a step up, and this one still has to make the update.
            summed = self.between_tasks == "summed"
            _, other = open_step(losses, given, parameters, retain_graph=True, scaler=scaler, summed=summed)
            looked = observe(other, Source.SHARED, given, last_layer, scale, "the probe")
        elif witness is not None and witness.at is not source:
            looked = observe(step, witness.at, given, last_layer, scale, "the probe")
        rows = observe(step, source, given, last_layer, scale, name)
        gram = None
        if rows is not None:
            gram = rows.gram().to(values.device)
            if source is Source.FEATURES:
                processes.sum_(gram)
            bad = _not_finite(tasks, gram.diagonal())
            if bad and scaler is None:
                return self._refuse(by_task, bad, "gradient")
            if bad:
                deliver(_gradients(step, rows, source, Decision(torch.ones_like(values))))
                return Balance(by_task, skipped=True)

        before = dict(self.memory)
        seen = tuple(feature.detach() for feature in step.features) if source is Source.FEATURES else ()
        try:
            decision = self.decide(Evidence(tasks, values, gram, rows, seen, context, step, scale))
            gradients = _gradients(step, rows, source, decision)
        except NonFiniteError as error:
            # In another batch, at which the method looked.
            self.memory = before
            if self.nonfinite == "raise":
                raise
            return self._refuse(by_task, error.tasks, "loss or gradient")
        except BaseException:
            self.memory = before
            raise
        finite = _finite(gradients.values())
        if not finite:
            self.memory = before
            if scaler is None:
                return self._refuse(by_task, step.implicated(gradients), "gradient")
            deliver(gradients)
            return Balance(by_task, skipped=True)
        used = decision.weights.to(values) if decision.weights is not None and decision.complete else None
        if witness is not None:
            witness.record(testify(tasks, values, witness.at, looked, rows, gram, used, decision.direction, gradients))
        deliver(gradients)
        weights = None if used is None else dict(zip(tasks, used, strict=True))
        return Balance(by_task, weights, **({} if gram is None else _measured(tasks, gram)))

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
        return {"memory": dict(self.memory), "skipped_steps": self.skipped_steps}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over the memory of a `state_dict()`."""
        self.memory = dict(state["memory"])
        self.skipped_steps = state["skipped_steps"]


def open_step(
    losses: Mapping[str, Tensor],
    features: Sequence[Tensor],
    shared: Iterable[Tensor],
    *,
    retain_graph: bool = False,
    scaler: torch.amp.GradScaler | None = None,
    summed: bool = False,
    objectives: Callable[[], Mapping[str, Tensor]] | None = None,
) -> tuple[Tensor, Step]:
    """Begin a step: check what was given, and that all processes were given alike.

    Args:
        losses: As for `Balancer.backward`, like the other arguments.
        features: The features.
        shared: The shared parameters.
        retain_graph: Whether to keep the graph.
        scaler: The gradient scaler.
        summed: Whether parameters that several tasks use behind the features receive the plain sum.
        objectives: Makes what is differentiated in place of the losses.

    Returns:
        The losses of this process, [T], and the step.

    Raises:
        ValueError: An argument is wrong, or the processes disagree.
    """
    # A process that refuses its losses must say so to the others, which would wait for it for ever.
    first = next((loss for loss in losses.values() if isinstance(loss, Tensor)), None)
    device = torch.device("cpu") if first is None else first.device
    try:
        values = _check(losses)
        total = losses if objectives is None else objectives()
        scaled = total if scaler is None else {task: scaler.scale(loss) for task, loss in total.items()}
        step = Step(scaled, features, shared, retain_graph, summed)
    except ValueError as error:
        processes.require_agreement(str(error), device)
        raise
    if processes.world_size() > 1:
        shapes = [[tuple(leaf.shape) for leaf in leaves] for leaves in (step.shared, *step.heads)]
        layout = f"{len(step.leaves())} parameters, layout {crc32(str(shapes).encode()):08x}"
        processes.require_agreement(f"{', '.join(losses)} ({layout})", device)
    return values, step


def _check(losses: Mapping[str, Tensor]) -> Tensor:
    require(len(losses) > 0, "losses", losses, "hold the loss of at least one task")
    for task, loss in losses.items():
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"`losses[{task!r}]` should be a scalar tensor. Found `{found}`. Take its mean or sum.")
        if not loss.requires_grad:
            raise ValueError(
                f"`losses[{task!r}]` should depend on the model. Found a tensor without a graph: it was detached, "
                "computed under `no_grad`, or all that it depends on is frozen. Leave out tasks without labels in a "
                "batch."
            )
    device = next(iter(losses.values())).device
    values = [loss.detach().reshape(()).to(device) for loss in losses.values()]
    return torch.stack([value if value.dtype == torch.float64 else value.float() for value in values])


def _gradients(step: Step, rows: Rows | None, source: Source, decision: Decision) -> dict[Tensor, Tensor]:
    weights, heads = decision.weights, decision.head_weights
    if weights is not None:
        if source is Source.SHARED and rows is not None:
            return step.combined(rows, weights, weights if heads is None else heads)
        return step.weighted(weights, heads)
    if decision.direction is None or rows is None or source is Source.LAST_LAYER:
        raise TypeError(
            "A method should decide on weights, or, if it sees the features or the shared parameters, on a direction."
        )
    heads = torch.ones(len(step.tasks), device=decision.direction.device) if heads is None else heads
    directed = step.directed if source is Source.SHARED else step.directed_features
    return directed(rows, decision.direction, heads)


def _not_finite(tasks: Sequence[str], values: Tensor) -> tuple[str, ...]:
    return tuple(task for task, finite in zip(tasks, values.isfinite().tolist(), strict=True) if not finite)


def _finite(tensors: Iterable[Tensor]) -> bool:
    tensors = list(tensors)
    # A finite norm proves all entries finite, at a fraction of the time that it takes to look at each one. The norm
    # itself can overflow, so that an infinite one proves nothing.
    if bool(torch.nn.utils.get_total_norm(tensors).isfinite()):
        return True
    return all(bool(tensor.isfinite().all()) for tensor in tensors)


def _measured(tasks: tuple[str, ...], gram: Tensor) -> dict[str, Any]:
    norms = gram.diagonal().clamp(min=0).sqrt()
    safe = torch.where(norms > 0, norms, torch.ones_like(norms))
    return {"norms": dict(zip(tasks, norms, strict=True)), "cosines": gram / (safe[:, None] * safe[None, :])}


def _moved(memory: dict[str, Any], device: torch.device) -> dict[str, Any]:
    # Floating-point values only: the state of a random generator belongs on the processor.
    def move(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: move(inner) for key, inner in value.items()}
        return value.to(device) if isinstance(value, Tensor) and value.is_floating_point() else value

    return {key: move(value) for key, value in memory.items()}
