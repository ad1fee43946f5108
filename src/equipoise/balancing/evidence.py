"""What a method sees of one step."""

from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from equipoise.balancing.context import Context
from equipoise.balancing.rows import Rows
from equipoise.balancing.step import Step


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
