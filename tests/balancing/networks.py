"""Small real networks, and the gradients that a balancer should leave in them, computed directly."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import equipoise
from equipoise.balancing import Balance, Balancer, Context, Forward, all_methods, hyper_parameters, undisturbed

TASKS = ("a", "b", "c")

# Arguments of methods without defaults, or that make every branch run within a few steps.
# The one place to edit for a new method, and only if it has such an argument.
ARGUMENTS: dict[str, dict[str, Any]] = {"fixed": {"weights": {"a": 1.0, "b": 0.5, "c": 20.0}}}


def variants() -> list[tuple[str, dict[str, Any]]]:
    """Every registered method with its arguments, at every place where it can measure."""
    found = []
    for name, method in all_methods().items():
        arguments = ARGUMENTS.get(name, {})
        if "measure_at" not in hyper_parameters(method):
            found.append((name, arguments))
            continue
        for place in ("last_layer", "features", "shared"):
            try:
                equipoise.create(name, **arguments, measure_at=place)
            except ValueError as error:
                if "`measure_at`" not in str(error):
                    raise
                continue
            found.append((name, {**arguments, "measure_at": place}))
    return found


def label(variant: tuple[str, dict[str, Any]]) -> str:
    name, arguments = variant
    return f"{name}-{arguments['measure_at']}" if "measure_at" in arguments else name


class Network(nn.Module):
    """A trunk of two layers and a head for each task. The losses differ in scale by a factor of a thousand."""

    def __init__(self, tasks: Sequence[str] = TASKS, normalise: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear(5, 8)
        self.between = nn.BatchNorm1d(8) if normalise else nn.Identity()
        self.last = nn.Linear(8, 6)
        self.heads = nn.ModuleDict({task: nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 1)) for task in tasks})

    def encode(self, inputs: Tensor) -> Tensor:
        return self.last(self.between(self.first(inputs)).tanh()).tanh()

    def losses(
        self,
        features: Tensor,
        tasks: Sequence[str] | None = None,
        adapt: Callable[[str, Tensor], Tensor] = lambda task, features: features,
    ) -> dict[str, Tensor]:
        found = {}
        for number, (task, head) in enumerate(self.heads.items()):
            if tasks is None or task in tasks:
                found[task] = (head(adapt(task, features)) - number - 1).square().mean() * 10.0 ** (number - 1) + 0.1
        return found

    def shared(self) -> list[nn.Parameter]:
        return [*self.first.parameters(), *self.between.parameters(), *self.last.parameters()]


def network(dtype: torch.dtype = torch.float64, **options: Any) -> tuple[Network, Tensor]:
    """A network and a batch of eight, the same each time."""
    torch.manual_seed(3)
    return Network(**options).to(dtype), torch.randn(8, 5, dtype=dtype)


def task_gradients(losses: Mapping[str, Tensor], parameters: Sequence[Tensor]) -> dict[str, list[Tensor]]:
    """The gradient of each loss alone at each parameter."""
    found = {}
    for task, loss in losses.items():
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        pairs = zip(parameters, gradients, strict=True)
        found[task] = [torch.zeros_like(p) if g is None else g.clone() for p, g in pairs]
    return found


def flat(gradients: Sequence[Tensor | None], like: Sequence[Tensor]) -> Tensor:
    pairs = zip(gradients, like, strict=True)
    return torch.cat([torch.zeros(p.numel(), dtype=p.dtype) if g is None else g.reshape(-1) for g, p in pairs])


def step(
    balancer: Balancer, net: Network, inputs: Tensor, tasks: Sequence[str] | None = None, **options: Any
) -> Balance:
    """One balanced backward pass."""
    options = {"context": context(balancer, net, inputs, tasks), **options}
    features = net.encode(inputs)
    losses = net.losses(features, tasks, balancer.adapt)
    return balancer.backward(losses, features=features, last_layer=net.last, **options)


def context(
    balancer: Balancer,
    net: Network,
    inputs: Tensor,
    tasks: Sequence[str] | None = None,
    optimiser: torch.optim.Optimizer | None = None,
) -> Context:
    """All that a method may need beyond one batch. The other batches are made from this one, sample by sample."""
    further = 0

    def forward(batch: Tensor, tasks: Sequence[str] | None = None) -> Forward:
        with undisturbed(net):
            features = net.encode(batch)
            return Forward(net.losses(features, tasks, balancer.adapt), features)

    def next_further() -> Forward:
        nonlocal further
        further += 1
        return forward(inputs.flip(1) * (1 + 0.1 * further))

    directions = torch.linspace(-1, 1, 5 * 7, dtype=inputs.dtype).reshape(5, 7)
    return Context(
        again=lambda: forward(inputs, tasks),
        further=next_further,
        validation=lambda: forward(inputs.roll(1, 1) * 0.9),
        teachers=lambda: {task: (inputs @ directions).roll(place, 1) for place, task in enumerate(net.heads)},
        optimizer=optimiser or torch.optim.SGD(net.parameters(), lr=1e-4),
    )


def assert_grads_match(
    net: nn.Module, weights: Mapping[str, Tensor], losses: Mapping[str, Tensor], **tolerance: float
) -> None:
    """Assert that every `.grad` is the weighted sum of the task gradients, and None if no loss reaches it."""
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    total = sum(weights[task].double() * loss for task, loss in losses.items())
    expected = torch.autograd.grad(total, parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, expected, strict=True):
        if gradient is None:
            assert parameter.grad is None
        else:
            assert parameter.grad is not None
            torch.testing.assert_close(parameter.grad, gradient, **tolerance)
