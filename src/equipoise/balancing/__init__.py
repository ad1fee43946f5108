"""Losses in, balanced `.grad` out: every method on one engine. Imports torch alone."""

from equipoise.balancing.balance import Balance
from equipoise.balancing.balancer import Balancer
from equipoise.balancing.bases import DirectionBalancer, GradientBalancer, WeightBalancer
from equipoise.balancing.context import Context, Forward, Need, undisturbed
from equipoise.balancing.decision import Decision
from equipoise.balancing.errors import NonFiniteError, SolverError
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.registry import Method, all_methods, available, create, hyper_parameters
from equipoise.balancing.source import Source

__all__ = [
    "Balance",
    "Balancer",
    "Context",
    "Decision",
    "DirectionBalancer",
    "Evidence",
    "Forward",
    "GradientBalancer",
    "Method",
    "Need",
    "NonFiniteError",
    "SolverError",
    "Source",
    "WeightBalancer",
    "all_methods",
    "available",
    "create",
    "hyper_parameters",
    "undisturbed",
]
