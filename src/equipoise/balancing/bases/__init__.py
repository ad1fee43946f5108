"""Base classes of methods, by what a method computes and from which measurement."""

from equipoise.balancing.bases.cross_gram import CrossGramBalancer
from equipoise.balancing.bases.epoch import EpochBalancer
from equipoise.balancing.bases.gram import BargainingBalancer, GramBalancer
from equipoise.balancing.bases.weights import DirectionBalancer, GradientBalancer, MeasureAt, WeightBalancer

__all__ = [
    "BargainingBalancer",
    "CrossGramBalancer",
    "DirectionBalancer",
    "EpochBalancer",
    "GradientBalancer",
    "GramBalancer",
    "MeasureAt",
    "WeightBalancer",
]
