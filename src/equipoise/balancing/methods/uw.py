"""UW: weights from learnt uncertainties of the tasks."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, Unpack

from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import WeightBalancer
from equipoise.balancing.checks import require
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import uw
from equipoise.balancing.learner import Learner
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source

Kind = Literal["regression", "classification"]

_FACTORS = {"regression": 1.0, "classification": 2.0}


class UW(WeightBalancer):
    """Weights w_i = k_i exp(-s_i) / 2 with learnt log-variances s_i; the objective is sum_i w_i L_i + s_i / 2.

    k_i is 1 for regression and 2 for classification (Kendall et al., equations 7 and 10). LibMTL, nash-mtl, TorchJD and
    MTAN use the regression form for every task, the default here; SamsungLabs uses the other for all;
    UniversalRepresentations goes by the kind. Stationary at exp(s_i) = k_i L_i.

    The s_i are trained in here, without weight decay, from their values at the step's start. In public code they are
    parameters of the model's optimiser and get its learning rate and its weight decay, which pulls them to zero;
    nash-mtl trains them at 0.025 without decay. Losses should be positive: for others s falls until its bound.

    Args:
        kinds: "regression" or "classification" by task; tasks that are not named count as regression.
        initial: The first s_i. LibMTL and UniversalRepresentations begin at -0.5, Auto-Lambda at -0.7.
        learning_rate: Of the s_i.
        optimizer: "adam" or "sgd".
        bound: The largest magnitude of an s_i.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.UW().backward({"a": x.sum(), "b": (x * x).sum()}).weights
        {'a': tensor(0.5000), 'b': tensor(0.5000)}
    """

    record = Method(
        name="uw",
        title="Uncertainty weighting",
        paper='Kendall et al., "Multi-Task Learning Using Uncertainty to Weigh Losses", CVPR 2018',
        sees=Source.LOSSES,
        scale="absolute: at rest every weighted loss is 1/2",
        state="log-variances and their moments",
        sources={
            "kinds": "LibMTL, nash-mtl, TorchJD, MTAN: regression for all",
            "initial": "nash-mtl, TorchJD",
            "learning_rate": "nash-mtl; elsewhere the model's",
            "optimizer": "nash-mtl",
            "bound": "our choice, against overflow",
        },
    )

    def __init__(
        self,
        *,
        kinds: Mapping[str, Kind] = MappingProxyType({}),
        initial: float = 0.0,
        learning_rate: float = 0.025,
        optimizer: Literal["adam", "sgd"] = "adam",
        bound: float = 20.0,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        for task, kind in kinds.items():
            require(kind in _FACTORS, f"kinds[{task!r}]", kind, f"be one of {', '.join(_FACTORS)}")
        self.factors = {task: _FACTORS[kind] for task, kind in kinds.items()}
        self.learner = Learner(learning_rate, optimizer, initial, bound)
        self.memory = self.learner.start()

    def weigh(self, evidence: Evidence) -> Tensor:
        """The weights before the step of the log-variances, which is then made."""
        losses = evidence.losses
        factors = losses.new_tensor([self.factors.get(task, 1.0) for task in evidence.tasks])
        weights, gradient = uw(factors * losses, self.learner.values(self.memory, evidence.tasks, losses))
        self.memory = self.learner.learned(self.memory, evidence.tasks, gradient)
        return factors * weights
