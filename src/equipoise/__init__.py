"""Equipoise: see why a multi-task network trains out of balance, and balance it.

The library is one call in place of `loss.backward()`:

    balancer = equipoise.AvgNorm()                          # or equipoise.create("avgnorm")
    balance = balancer.backward(losses, features=features, last_layer=encoder.layer4[-1].conv2)

It needs torch alone. The laboratory (datasets, architectures, studies, reports, the command `equipoise`) comes with
`pip install equipoise[lab]`.
"""

from typing import Any

from equipoise import functional
from equipoise.balancing import (
    Balance,
    Balancer,
    Context,
    Forward,
    NonFiniteError,
    SolverError,
    all_methods,
    available,
    create,
    undisturbed,
)
from equipoise.diagnosis.probe import Probe

__version__ = "0.1.0"
__all__ = [
    "Balance",
    "Balancer",
    "Context",
    "Forward",
    "NonFiniteError",
    "Probe",
    "SolverError",
    "available",
    "create",
    "functional",
    "undisturbed",
]


def __getattr__(name: str) -> Any:
    # Every method's class under its own name: `equipoise.AvgNorm`. A new method needs no line here.
    for method in all_methods().values():
        if method.__name__ == name:
            return method
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *(method.__name__ for method in all_methods().values())])
