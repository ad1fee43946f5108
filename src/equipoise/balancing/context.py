"""Further forward passes and batches for the methods that need them."""

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn


class Need(enum.Enum):
    """A requirement of a method beyond losses and features.

    The name in small letters is the attribute of `Context`, or the method of `Balancer`, that meets it.
    """

    AGAIN = "the same batch a second time, after the step"
    FURTHER = "further training batches"
    VALIDATION = "a validation batch"
    TEACHERS = "features of single-task networks"
    OPTIMIZER = "the optimiser"
    ADAPT = "heads that read the features through `adapt`"
    AFTER_STEP = "a call of `after_step` when the optimiser has stepped"
    END_EPOCH = "a call of `end_epoch` after every epoch"


@dataclass(frozen=True)
class Forward:
    """A forward pass of the network as it is now.

    Attributes:
        losses: As for `Balancer.backward`, a scalar for each task that has labels in the batch.
        features: As for `Balancer.backward`.
    """

    losses: Mapping[str, Tensor]
    features: Tensor | Sequence[Tensor] = ()


@dataclass(frozen=True)
class Context:
    """Further inputs of a method. Each callable runs only when the method asks for it.

    Run the extra forward passes within `undisturbed`, so that batch statistics and random generators do not change.
    Under DistributedDataParallel call the wrapped module itself (`model.module`). The balancer takes the means over
    processes, and each process gives its own part of the batch.

    Attributes:
        again: Returns the batch of this step once more, at the current weights.
        further: Returns the next training batch that is independent of this one.
        validation: Returns a batch that the weights are not trained on, or at least one independent of this one.
        teachers: Returns, for each task, the features that its own frozen single-task network computes for the batch of
            this step: the last features of its trunk, [B, C, H, W] or [B, C].
        optimizer: The optimiser of the network.

    Example:
        >>> import torch, equipoise
        >>> trunk, head = torch.nn.Linear(3, 2), torch.nn.Linear(2, 2)
        >>> def forward(batch):
        ...     features = trunk(batch)
        ...     a, b = head(features).square().mean(0)
        ...     return equipoise.Forward({"a": a, "b": b}, features)
        >>> def further():
        ...     with equipoise.undisturbed(trunk, head):
        ...         return forward(torch.randn(4, 3))
        >>> first = forward(torch.randn(4, 3))
        >>> balancer = equipoise.SDMGrad()
        >>> context = equipoise.Context(further=further)
        >>> balance = balancer.backward(first.losses, features=first.features, context=context)
        >>> list(balance.weights)
        ['a', 'b']
    """

    again: Callable[[], Forward] | None = None
    further: Callable[[], Forward] | None = None
    validation: Callable[[], Forward] | None = None
    teachers: Callable[[], Mapping[str, Tensor]] | None = None
    optimizer: torch.optim.Optimizer | None = None

    def forward(self, need: Need, method: str) -> Forward:
        """Run one of `again`, `further` and `validation`.

        Raises:
            ValueError: The context lacks it.
        """
        found = getattr(self, need.name.lower())
        if found is None:
            raise missing(need, method, "lambda: Forward(losses, features)")
        return found()


def missing(need: Need, method: str, how: str) -> ValueError:
    """Return the error about a context that lacks something that a method needs."""
    name = need.name.lower()
    return ValueError(
        f"`context` should have `{name}`: {method} needs {need.value}. Found none. Pass "
        f"`context=equipoise.Context({name}={how})`."
    )


@contextmanager
def undisturbed(*modules: nn.Module) -> Iterator[None]:
    """Run forward passes without side effects: buffers (such as batch statistics) and random generators are restored.

    Inside, the modules have copies of their buffers, so that an earlier graph stays valid. The random generators of the
    CPU and of the modules' devices continue from their current state, and are reset to it at the end.

    Args:
        modules: Modules that the forward passes use.

    Example:
        >>> import torch
        >>> norm = torch.nn.BatchNorm1d(1)
        >>> with undisturbed(norm):
        ...     _ = norm(torch.tensor([[1.0], [3.0]]))
        >>> norm.running_mean
        tensor([0.])
    """
    owners = {owner: dict(owner._buffers) for module in modules for owner in module.modules() if owner._buffers}
    devices = {tensor.device for module in modules for tensor in module.parameters()}
    accelerators = sorted({device.index or 0 for device in devices if device.type == "cuda"})
    with torch.random.fork_rng(accelerators):
        for owner, buffers in owners.items():
            owner._buffers.update({name: b if b is None else b.clone() for name, b in buffers.items()})
        try:
            yield
        finally:
            for owner, buffers in owners.items():
                owner._buffers.update(buffers)
