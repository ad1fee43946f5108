"""A task of a user's own, with a loss and a metric of its own, works like ours."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric

import equipoise
from equipoise import tasks
from equipoise.metrics import collect
from equipoise.tasks import Task


class Bias(Metric):
    """Mean of `p - t` over all labelled pixels of the data set."""

    higher_is_better = False
    full_state_update = False

    total: Tensor
    count: Tensor

    def __init__(self, unlabelled: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.unlabelled = unlabelled
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        labelled = target != self.unlabelled
        self.total += (prediction - target)[labelled].sum()
        self.count += labelled.sum()

    def compute(self) -> Tensor:
        return self.total / self.count


@dataclass(frozen=True, kw_only=True)
class Wetness(Task):
    """How wet every pixel is: float32 `[1, H, W]` from 0 (dry) to 1 (wet), -1 where unknown; with a Huber loss."""

    delta: float = 0.5

    ignore: ClassVar[float | int] = -1
    metric = "bias"
    higher_is_better = False

    @property
    def channels(self) -> int:
        return 1

    def valid(self, target: Tensor) -> Tensor:
        return target != self.ignore

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        if prediction.shape != target.shape:
            raise ValueError("The shapes differ.")
        valid = self.valid(target)
        wide = prediction.double() if prediction.dtype == torch.float64 else prediction.float()
        losses = functional.huber_loss(wide, target.to(wide.dtype), delta=self.delta, reduction="none")
        return losses.where(valid, 0).sum() / valid.sum().clamp(min=1)

    def metrics(self) -> dict[str, Metric]:
        return {"bias": Bias(self.ignore)}

    def activate(self, prediction: Tensor) -> Tensor:
        return prediction.float().clamp(0, 1)

    def draw(self, target: Tensor) -> Tensor:
        return (target.clamp(min=0) * 255).to(torch.uint8).expand(3, -1, -1).contiguous()

    def faults(self, target: Tensor) -> list[str]:
        wrong = (self.valid(target) & ~((target >= 0) & (target <= 1))).sum().item()
        return [f"wetness should be 0 to 1; found {wrong} pixels that are not"] if wrong else []


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    """Register the task for the tests of this file alone: other tests list all kinds."""
    assert "depth" in tasks.available()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks.kinds, "_classes", dict(tasks.kinds._classes))
        equipoise.register("wetness")(Wetness)
        yield


@pytest.fixture
def target() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    wetness = torch.rand(2, 1, 9, 12, generator=generator)
    return wetness.masked_fill(torch.rand(2, 1, 9, 12, generator=generator) < 0.4, -1)


def test_it_has_the_properties_of_every_task(task_property, target: Tensor) -> None:
    task_property(tasks.create("wetness", name="road"), target)


def test_it_is_listed_and_built_by_its_name() -> None:
    assert "wetness" in tasks.available()
    task = tasks.create("wetness", name="road", delta=0.1)
    assert task == Wetness(name="road", delta=0.1)
    assert task.kind == "wetness"
    with pytest.raises(ValueError, match="Did you mean `wetness`"):
        tasks.create("wetnes", name="road")


def test_its_loss_and_its_metric_are_those_of_the_class() -> None:
    task = tasks.create("wetness", name="road")
    target = torch.tensor([[[[0.5, 0.5, -1.0]]]])
    loss = task.loss(torch.tensor([[[[0.7, 2.5, 9.0]]]]), target)
    # Errors of 0.2 (squared) and 2 (linear from 0.5 on).
    assert loss.item() == pytest.approx((0.5 * 0.2**2 + 0.5 * (2 - 0.25)) / 2)
    metrics = collect(task.metrics())
    metrics.update(torch.tensor([[[[0.7, 0.9, 1.0]]]]), target)
    metrics.update(torch.tensor([[[[0.0]]]]), torch.tensor([[[[0.9]]]]))
    # Three labels, two in the first batch: a mean of the means of batches would be -0.3.
    assert metrics.compute()["bias"].item() == pytest.approx((0.2 + 0.4 - 0.9) / 3)


def test_what_it_has_no_rule_for_is_named_by_its_kind(target: Tensor) -> None:
    task = tasks.create("wetness", name="road")
    with pytest.raises(ValueError, match=r"The labels of `road` \(wetness\) have no rule of corruption"):
        task.corrupt(target[0], 0.5, torch.Generator())


def test_an_abstract_task_is_refused_with_what_it_lacks() -> None:
    class Unfinished(Task):
        pass

    with pytest.raises(ValueError, match=r"`Unfinished` should define `activate`, .*`loss`"):
        equipoise.register("unfinished")(Unfinished)
    assert "unfinished" not in tasks.available()
