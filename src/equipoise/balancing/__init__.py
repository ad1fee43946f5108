"""Losses in, balanced `.grad` out: every method on one engine. Imports torch alone."""

from equipoise.balancing.balancer import Balance, Balancer, Decision, Evidence
from equipoise.balancing.bases import DirectionBalancer, GradientBalancer, WeightBalancer
from equipoise.balancing.context import Context, Forward, Need, undisturbed
from equipoise.balancing.errors import NonFiniteError, SolverError
from equipoise.balancing.gradients import Source
from equipoise.balancing.registry import Method, all_methods, available, create, hyper_parameters

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
