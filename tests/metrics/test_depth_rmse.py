import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics import DepthRMSE


def test_hand_solved_case_with_holes() -> None:
    metric = DepthRMSE()
    prediction = torch.tensor([[[[1.0, 2.0, 5.0, 7.0, 7.0, 7.0]]]])
    target = torch.tensor([[[[2.0, 2.0, 1.0, 0.0, -1.0, float("nan")]]]])
    metric.update(prediction, target)
    assert metric.compute().item() == pytest.approx(math.sqrt((1 + 0 + 16) / 3))


def test_one_root_over_the_data_set() -> None:
    metric = DepthRMSE()
    metric.update(torch.full((1, 1, 1, 3), 2.0), torch.full((1, 1, 1, 3), 1.0))
    metric.update(torch.full((1, 1, 1, 1), 4.0), torch.full((1, 1, 1, 1), 1.0))
    # The mean of the two images' errors would be 2.
    assert metric.compute().item() == pytest.approx(math.sqrt((3 * 1 + 9) / 4))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), images=st.integers(1, 6), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_equals_a_loop_for_any_split_into_batches(seed: int, images: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    prediction = scale * torch.randn(images, 1, 3, 4, generator=generator)
    target = (scale * torch.randn(images, 1, 3, 4, generator=generator)).relu()
    target[0, 0, 0, 0] = scale
    squares = [
        (p - t) ** 2 for p, t in zip(prediction.flatten().tolist(), target.flatten().tolist(), strict=True) if t > 0
    ]
    whole, single = DepthRMSE(), DepthRMSE()
    whole.update(prediction, target)
    for one_prediction, one_target in zip(prediction.split(1), target.split(1), strict=True):
        single.update(one_prediction, one_target)
    expected = math.sqrt(math.fsum(squares) / len(squares))
    assert whole.compute().item() == pytest.approx(expected, rel=1e-5)
    assert single.compute().item() == pytest.approx(expected, rel=1e-5)


def test_many_pixels_lose_no_precision() -> None:
    metric = DepthRMSE()
    for _ in range(20):
        metric.update(torch.full((1, 1, 1000, 1000), 10.1), torch.full((1, 1, 1000, 1000), 10.0))
    assert metric.compute().item() == pytest.approx(float(torch.tensor(10.1)) - 10, rel=1e-6)


def test_no_label_at_all_is_nan() -> None:
    metric = DepthRMSE()
    metric.update(torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2))
    assert metric.compute().isnan()


def test_a_diverged_prediction_is_not_hidden() -> None:
    metric = DepthRMSE()
    metric.update(torch.tensor([1.0, float("nan")]), torch.ones(2))
    assert metric.compute().isnan()


def test_a_diverged_prediction_in_a_hole_is_no_matter() -> None:
    metric = DepthRMSE()
    metric.update(torch.tensor([3.0, float("inf")]), torch.tensor([1.0, 0.0]))
    assert metric.compute() == 2


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shape of `target`"):
        DepthRMSE().update(torch.ones(1, 1, 2, 2), torch.ones(1, 2, 2))
