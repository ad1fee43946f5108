"""Several numbers from one sum over a data set."""

from abc import abstractmethod
from collections.abc import Hashable, Mapping

from torchmetrics import Metric, MetricCollection


class SharedState(Metric):
    """A metric whose state is the same as that of others, from which they read other numbers.

    A base class derives from this, keeps the state and has `update`; its subclasses differ in `compute` alone.
    """

    @abstractmethod
    def state_key(self) -> Hashable:
        """What determines the state: metrics with equal keys have equal states after equal updates."""


def collect(metrics: Mapping[str, Metric]) -> MetricCollection:
    """The metrics as a collection in which each shared state is updated once.

    Left to itself, `MetricCollection` takes metrics to share a state if theirs are equal after the first batch, which
    is no proof: shares of nearly right pixels, for one, are all 0 at the beginning of a training.

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
