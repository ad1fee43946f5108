from typing import Any

import pytest
import torch
from torchmetrics import MetricCollection

from equipoise.metrics import OdsF


def scene(images: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy predictions of the outline of a box, and that outline, `[B, 1, 40, 50]`."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.zeros(images, 1, 40, 50)
    for image in target:
        top, left = torch.randint(2, 15, (2,), generator=generator).tolist()
        image[0, top : top + 20, left : left + 25] = 1
        image[0, top + 1 : top + 19, left + 1 : left + 24] = 0
    noise = torch.rand(target.shape, generator=generator)
    return (0.5 * target * torch.rand(target.shape, generator=generator) + 0.5 * noise).clamp(0, 1), target


def score(prediction: torch.Tensor, target: torch.Tensor, **options: Any) -> float:
    metric = OdsF(**options)
    metric.update(prediction, target)
    return metric.compute().item()


def test_truth_scores_100_and_nothing_scores_0() -> None:
    _, target = scene(2)
    assert score(target, target) == 100
    assert score(0.7 * target, target, thresholds=9) == 100
    assert score(torch.zeros_like(target), target) == 0


def test_half_of_the_edges() -> None:
    target = torch.zeros(1, 1, 40, 40)
    target[..., 10, 5:35] = 1
    prediction = torch.zeros_like(target)
    prediction[..., 10, 5:20] = 1
    # Precision 1, recall 1/2.
    assert score(prediction, target, max_distance=0.01) == pytest.approx(200 / 3, rel=1e-5)


def test_thick_edges_are_thinned_on_both_sides() -> None:
    thin, thick = torch.zeros(1, 1, 40, 60), torch.zeros(1, 1, 40, 60)
    thin[..., 20, :] = 1
    thick[..., 19:22, :] = 1
    assert score(thick, thick) == 100
    assert score(thick, thin, max_distance=0.02) > 98
    assert score(thin, thick, max_distance=0.02) > 98


@pytest.mark.parametrize("sizes", [[1, 1, 1, 1, 1], [2, 3], [4, 1]])
def test_any_split_into_batches_agrees(sizes: list[int]) -> None:
    prediction, target = scene(5)
    whole, parts = OdsF(thresholds=9), OdsF(thresholds=9)
    whole.update(prediction, target)
    for batch in zip(prediction.split(sizes), target.split(sizes), strict=True):
        parts.update(*batch)
    assert torch.equal(whole.counts, parts.counts)
    assert whole.scores() == parts.scores()
    assert 0 < whole.compute() < 100


def test_scores_agree_with_compute_and_the_best_of_each_image_is_no_worse() -> None:
    prediction, target = scene(4)
    metric = OdsF(thresholds=19)
    metric.update(prediction, target)
    scores = metric.scores()
    assert metric.compute().item() == pytest.approx(100 * scores.ods_f)
    thresholds_shared = OdsF(thresholds=[scores.ods_threshold])
    thresholds_shared.update(prediction, target)
    assert scores.ois_f >= thresholds_shared.scores().ods_f
    assert 0 < scores.ap < 1


def test_unlabelled_pixels_count_on_neither_side() -> None:
    prediction, target = scene(2)
    expected = OdsF(thresholds=9)
    expected.update(prediction, target)
    padded_prediction = torch.nn.functional.pad(prediction, (3, 7, 2, 4), value=1.0)
    padded_target = torch.nn.functional.pad(target, (3, 7, 2, 4), value=255.0)
    padded = OdsF(thresholds=9)
    padded.update(padded_prediction, padded_target)
    assert torch.equal(padded.counts, expected.counts)

    hole = target.clone()
    hole[..., :20, :] = 255
    hole[..., 0, 0] = 0
    # Thin predictions, so that it does not matter that unlabelled pixels are dropped after thinning.
    thin = prediction * target
    below_only = OdsF(thresholds=9)
    below_only.update(thin, hole)
    emptied = OdsF(thresholds=9)
    emptied.update(thin * (hole != 255), target * (hole != 255))
    assert torch.equal(below_only.counts, emptied.counts)


def test_unlabelled_regions_do_not_tell_where_edges_are() -> None:
    # Edges run half-way between unlabelled blocks: where thinning would leave lines, were the blocks cut out before it.
    target = torch.zeros(1, 1, 60, 60)
    target[..., 10::20, :] = 1
    target[..., :, 10::20] = 1
    for top in (16, 36):
        for left in (16, 36):
            target[..., top : top + 8, left : left + 8] = 255
    assert score(torch.ones_like(target), target) < 30


def test_no_label_at_all_is_nan() -> None:
    metric = OdsF(thresholds=3)
    metric.update(torch.rand(2, 1, 8, 8), torch.full((2, 1, 8, 8), 255.0))
    assert metric.compute().isnan()


def test_thresholds_may_be_given() -> None:
    prediction, target = scene(2)
    assert score(prediction, target, thresholds=[0.25, 0.5, 0.75]) == score(prediction, target, thresholds=3)


def test_suppression_parts_edges_that_run_into_each_other() -> None:
    target = torch.zeros(1, 1, 40, 60)
    target[..., [17, 23], :] = 1
    # Two strong edges whose valley is stronger than a third, faint one: no threshold parts the two and keeps the third.
    rows = torch.arange(40.0)
    profile = 0.9 * (-((rows - 17) ** 2) / 8).exp() + 0.9 * (-((rows - 23) ** 2) / 8).exp()
    target[..., 34, :] = 1
    profile += 0.3 * (-((rows - 34) ** 2) / 4).exp()
    prediction = (profile / profile.max())[:, None].expand(1, 1, 40, 60)
    assert score(prediction, target, suppression=True) > 95
    assert score(prediction, target) < 85


def test_other_number_types_on_either_side() -> None:
    prediction, target = scene(1)
    expected = score(prediction.bfloat16().float(), target, thresholds=9)
    assert score(prediction.bfloat16(), target.to(torch.uint8), thresholds=9) == expected
    assert score(prediction.bfloat16().requires_grad_(), target.long(), thresholds=9) == expected


def test_lives_in_a_collection_and_is_reset() -> None:
    prediction, target = scene(1)
    metrics = MetricCollection({"odsf": OdsF(thresholds=9)})
    metrics.update(prediction, 1 - target)
    metrics.reset()
    metrics.update(target, target)
    assert metrics.compute() == {"odsf": 100}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_distance": 0}, "max_distance = 0"),
        ({"max_distance": 4.3}, "max_distance = 4.3"),
        ({"thresholds": 0}, "thresholds = 0"),
        ({"thresholds": [0.5, 0.4]}, "should ascend"),
        ({"thresholds": []}, "should ascend"),
        ({"thresholds": [0.0, 0.5]}, "should ascend"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OdsF(**options)


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (torch.full((1, 1, 4, 4), -3.0), torch.zeros(1, 1, 4, 4), "apply a sigmoid"),
        (torch.full((1, 1, 4, 4), torch.nan), torch.zeros(1, 1, 4, 4), "apply a sigmoid"),
        (torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 0.5), "should hold 0, 1 and 255"),
        (torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4), "of one shape"),
        (torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4), "of one shape"),
    ],
)
def test_inputs_of_the_wrong_kind(prediction: torch.Tensor, target: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OdsF().update(prediction, target)
