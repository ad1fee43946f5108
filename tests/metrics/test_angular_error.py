import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics import AngleWithin, AngularError, MedianAngle


def as_map(*vectors: tuple[float, float, float]) -> torch.Tensor:
    return torch.tensor(vectors).T.reshape(1, 3, 1, -1)


def test_hand_solved_case_with_holes() -> None:
    metric = AngularError()
    prediction = as_map((0, 0, -5), (0, 3, 0), (0, 0, 1), (1, 0, 0), (0, 0, 0))
    target = as_map((0, 0, -1), (0, 0, -1), (0, 0, -1), (0, 0, 0), (0, 0, -1))
    metric.update(prediction.float(), target.float())
    # 0, 90 and 180 degrees, one hole, and a prediction of no direction, which counts as 90.
    assert metric.compute().item() == pytest.approx((0 + 90 + 180 + 90) / 4)


@pytest.mark.parametrize("degrees", [1e-4, 0.01, 1.0, 89.0, 179.0, 179.99])
def test_exact_for_small_and_for_large_angles(degrees: float) -> None:
    angle = math.radians(degrees)
    metric = AngularError()
    metric.update(
        torch.tensor([math.sin(angle), 0.0, -math.cos(angle)], dtype=torch.float64).view(1, 3, 1, 1),
        torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64).view(1, 3, 1, 1),
    )
    assert metric.compute().item() == pytest.approx(degrees, rel=1e-6)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), images=st.integers(1, 5), length=st.sampled_from([1e-20, 1.0, 1e15]))
def test_equals_arc_cosine_for_any_split_and_any_length(seed: int, images: int, length: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.randn(images, 3, 2, 3, generator=generator, dtype=torch.float64)
    target = torch.randn(images, 3, 2, 3, generator=generator, dtype=torch.float64)
    cosine = (prediction * target).sum(1) / prediction.norm(dim=1) / target.norm(dim=1)
    whole, single = AngularError(), AngularError()
    whole.update((length * prediction).float(), target.float())
    for one_prediction, one_target in zip(prediction.split(1), target.split(1), strict=True):
        single.update(one_prediction, one_target)
    assert whole.compute().item() == pytest.approx(cosine.acos().rad2deg().mean().item(), rel=1e-5)
    assert single.compute().item() == pytest.approx(cosine.acos().rad2deg().mean().item(), rel=1e-5)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), images=st.integers(1, 5), bound=st.sampled_from([11.25, 22.5, 30, 180]))
def test_median_and_shares_equal_sorting_for_any_split(seed: int, images: int, bound: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randn(images, 3, 2, 3, generator=generator)
    prediction = target + 0.4 * torch.randn(images, 3, 2, 3, generator=generator)
    target[0, :, 0, 0] = 0
    known = (target != 0).any(1)
    cosine = torch.cosine_similarity(prediction.double(), target.double(), dim=1)[known]
    degrees = cosine.clamp(-1, 1).acos().rad2deg()
    median, share = MedianAngle(), AngleWithin(bound)
    for one_prediction, one_target in zip(prediction.split(1), target.split(1), strict=True):
        median.update(one_prediction, one_target)
        share.update(one_prediction, one_target)
    # `quantile` takes the mean of the two in the middle, where `torch.median` takes the lower.
    assert median.compute().item() == pytest.approx(degrees.quantile(0.5).item(), abs=6e-4)
    assert share.compute().item() == pytest.approx(100 * (degrees < bound).double().mean().item())


@pytest.mark.parametrize(
    ("degrees", "median"),
    [((10.0, 40.0), 25.0), ((40.0, 5.0, 10.0, 90.0), 25.0), ((5.0, 10.0, 90.0), 10.0), ((10.0, 10.0, 90.0, 5.0), 10.0)],
)
def test_the_median_of_an_even_count_is_the_mean_of_the_two_in_the_middle(
    degrees: tuple[float, ...], median: float
) -> None:
    metric = MedianAngle()
    for angle in map(math.radians, degrees):
        metric.update(as_map((math.sin(angle), 0, -math.cos(angle))), as_map((0.0, 0.0, -1.0)))
    assert metric.compute().item() == pytest.approx(median, abs=6e-4)


def test_the_bound_itself_is_not_within() -> None:
    metric = AngleWithin(90)
    metric.update(as_map((0, 3, 0), (0, 1, -9)).float(), as_map((0, 0, -1), (0, 0, -1)).float())
    assert metric.compute() == 50
    for bound in (0, 181, 11.2505):
        with pytest.raises(ValueError, match=f"degrees = {bound}"):
            AngleWithin(bound)


def test_a_diverged_prediction_is_not_hidden() -> None:
    for metric in (AngularError(), MedianAngle()):
        metric.update(torch.full((1, 3, 1, 2), torch.nan), torch.ones(1, 3, 1, 2))
        assert metric.compute().isnan()


def test_no_label_at_all_is_nan() -> None:
    for metric in (AngularError(), MedianAngle(), AngleWithin(30)):
        metric.update(torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2))
        assert metric.compute().isnan()


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"\[B, 3, ...\]"):
        AngularError().update(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
