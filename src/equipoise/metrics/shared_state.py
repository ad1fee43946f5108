"""Metrics that compute several numbers from one sum over a data set."""

from abc import abstractmethod
from collections.abc import Hashable, Mapping

from torchmetrics import Metric, MetricCollection


class SharedState(Metric):
    """Base class of metrics that share one state and differ in `compute` alone.

    A class for each kind of state derives from this one and defines the state and `update`; its subclasses define
    `compute`.
    """

    @abstractmethod
    def state_key(self) -> Hashable:
        """Return a key of the state: metrics with equal keys have equal states after equal updates."""


def collect(metrics: Mapping[str, Metric]) -> MetricCollection:
    """Return the metrics as a collection in which each shared state is updated once.

    By default, `MetricCollection` assumes that metrics share a state if their states are equal after the first batch.
    That can go wrong: for example, the shares of nearly right pixels are all 0 at the beginning of training.

    Args:
        metrics: The metrics by name.

    Example:
        >>> import torch
        >>> from equipoise.metrics import MeanIoU, PixelAccuracy
        >>> collection = collect({"miou": MeanIoU(2), "accuracy": PixelAccuracy(2)})
        >>> collection.update(torch.tensor([[0, 1]]), torch.tensor([[0, 0]]))
        >>> collection.compute()
        {'accuracy': tensor(50.), 'miou': tensor(25.)}
    """
    groups: dict[Hashable, list[str]] = {}
    for name, metric in metrics.items():
        groups.setdefault(metric.state_key() if isinstance(metric, SharedState) else name, []).append(name)
    return MetricCollection(dict(metrics), compute_groups=list(groups.values()))
