import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics import MetricCollection

from equipoise.metrics import MeanIoU, PixelAccuracy


def iou_by_sets(prediction: np.ndarray, target: np.ndarray, num_classes: int) -> list[float]:
    """IoU of each class from the sets of pixel positions; nan where a class never occurs."""
    labelled = {i for i, label in enumerate(target) if label != 255}
    scores = []
    for c in range(num_classes):
        predicted = {i for i in labelled if prediction[i] == c}
        true = {i for i in labelled if target[i] == c}
        union = predicted | true
        scores.append(len(predicted & true) / len(union) if union else float("nan"))
    return scores


def test_hand_solved_case() -> None:
    target = torch.tensor([[[0, 0, 0, 1], [1, 1, 2, 255]]])
    prediction = torch.tensor([[[0, 0, 1, 1], [1, 2, 2, 0]]])
    # Class 0: 2 of 3; class 1: 2 of 4; class 2: 1 of 2. The unlabelled pixel would have broken class 0.
    expected = 100 * (2 / 3 + 2 / 4 + 1 / 2) / 3
    metric = MeanIoU(num_classes=3)
    metric.update(prediction, target)
    assert metric.compute().item() == pytest.approx(expected)
    accuracy = PixelAccuracy(num_classes=3)
    accuracy.update(prediction, target)
    assert accuracy.compute().item() == pytest.approx(100 * 5 / 7)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), num_classes=st.integers(1, 6), size=st.integers(1, 40))
def test_equals_counting_with_sets(seed: int, num_classes: int, size: int) -> None:
    generator = np.random.default_rng(seed)
    target = generator.choice([*range(num_classes), 255], size=size)
    prediction = generator.integers(0, num_classes, size=size)
    metric = MeanIoU(num_classes)
    metric.update(torch.tensor(prediction)[None, None], torch.tensor(target)[None, None])
    scores = [score for score in iou_by_sets(prediction, target, num_classes) if not np.isnan(score)]
    expected = 100 * np.mean(scores) if scores else float("nan")
    assert metric.compute().item() == pytest.approx(expected, nan_ok=True)


def test_scores_and_classes_and_any_split_into_batches_agree() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(7, 5, 6, 4, generator=generator)
    target = torch.randint(0, 5, (7, 6, 4), generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.2] = 255
    whole = MeanIoU(5)
    whole.update(scores, target)
    for sizes in ([1] * 7, [3, 4], [6, 1]):
        parts = MeanIoU(5)
        for batch_scores, batch_target in zip(scores.split(sizes), target.split(sizes), strict=True):
            parts.update(batch_scores.argmax(1), batch_target)
        assert torch.equal(parts.matrix, whole.matrix)
        assert torch.equal(parts.compute(), whole.compute())


def test_is_not_the_mean_over_images() -> None:
    metric = MeanIoU(2)
    metric.update(torch.zeros(1, 1, 9, dtype=torch.long), torch.zeros(1, 1, 9, dtype=torch.long))
    metric.update(torch.zeros(1, 1, 1, dtype=torch.long), torch.ones(1, 1, 1, dtype=torch.long))
    # Class 0: 9 of 10 over the data set; class 1: 0 of 1. A mean over images would give 50.
    assert metric.compute().item() == pytest.approx(45.0)


@pytest.mark.parametrize(("absent", "expected"), [(None, 100.0), (0.0, 50.0), (float("nan"), float("nan"))])
def test_class_that_never_occurs(absent: float | None, expected: float) -> None:
    metric = MeanIoU(4, absent_class_score=absent)
    metric.update(torch.tensor([[0, 1]]), torch.tensor([[0, 1]]))
    assert metric.compute().item() == pytest.approx(expected, nan_ok=True)


def test_no_label_at_all_is_nan_and_reset_forgets() -> None:
    metric = MeanIoU(3)
    metric.update(torch.zeros(1, 3, 2, 2), torch.full((1, 2, 2), 255))
    assert metric.compute().isnan()
    metric.update(torch.zeros(1, 2, 2, dtype=torch.long), torch.zeros(1, 2, 2, dtype=torch.long))
    assert metric.compute() == 100
    metric.reset()
    metric.update(torch.ones(1, 2, 2, dtype=torch.long), torch.zeros(1, 2, 2, dtype=torch.long))
    assert metric.compute() == 0


def test_labels_outside_are_refused_not_dropped() -> None:
    for prediction, target in (([[0, 1]], [[0, 3]]), ([[0, 3]], [[0, 1]]), ([[0, 1]], [[0, -1]])):
        metric = MeanIoU(3)
        metric.update(torch.tensor(prediction), torch.tensor(target))
        with pytest.raises(ValueError, match="Found 1 pixels outside"):
            metric.compute()


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="num_classes = 0"):
        MeanIoU(0)
    with pytest.raises(ValueError, match=r"scores \[B, 3"):
        MeanIoU(3).update(torch.zeros(1, 4, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long))
    with pytest.raises(ValueError, match=r"scores \[B, 3"):
        MeanIoU(3).update(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long))


def test_shares_its_counts_in_a_collection() -> None:
    metrics = MetricCollection({"miou": MeanIoU(3), "pixel_accuracy": PixelAccuracy(3)})
    for _ in range(2):
        metrics.update(torch.tensor([[0, 1, 1]]), torch.tensor([[0, 1, 2]]))
    assert len(metrics.compute_groups) == 1
    assert metrics.compute()["pixel_accuracy"].item() == pytest.approx(200 / 3)
    assert metrics.compute()["miou"].item() == pytest.approx(50.0)
