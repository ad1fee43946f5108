"""Balancing methods: losses in, balanced `.grad` out. Needs torch alone."""

from equipoise.balancing.balance import Balance
from equipoise.balancing.balancer import Balancer
from equipoise.balancing.bases import DirectionBalancer, GradientBalancer, WeightBalancer
from equipoise.balancing.context import Context, Forward, Need, undisturbed
from equipoise.balancing.engine.observation import GradientObserver, Measurement
from equipoise.balancing.engine.update import StepInputs, Update
from equipoise.balancing.errors import NonFiniteError, SolverError
from equipoise.balancing.hyper_parameters import HyperParameter, hyper_parameters
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.registry import all_methods, available, create

__all__ = [
    "Balance",
    "Balancer",
    "Context",
    "DirectionBalancer",
    "Forward",
    "GradientBalancer",
    "GradientObserver",
    "HyperParameter",
    "Measurement",
    "MethodInfo",
    "Need",
    "NonFiniteError",
    "Place",
    "SolverError",
    "StepInputs",
    "Update",
    "WeightBalancer",
    "all_methods",
    "available",
    "create",
    "hyper_parameters",
    "undisturbed",
]
