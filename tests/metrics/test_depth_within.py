import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics import DepthWithin


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), images=st.integers(1, 4), power=st.integers(1, 3))
def test_equals_a_loop_for_any_split_into_batches(seed: int, images: int, power: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randn(images, 1, 3, 4, generator=generator).relu()
    target[0, 0, 0, 0] = 1
    prediction = target * (0.6 * torch.randn(target.shape, generator=generator)).exp() - 0.01
    pairs = [(p, t) for p, t in zip(prediction.flatten().tolist(), target.flatten().tolist(), strict=True) if t > 0]
    within = [p > 0 and max(p / t, t / p) < 1.25**power for p, t in pairs]
    whole, single = DepthWithin(power), DepthWithin(power)
    whole.update(prediction, target)
    for one_prediction, one_target in zip(prediction.split(1), target.split(1), strict=True):
        single.update(one_prediction, one_target)
    assert whole.compute().item() == pytest.approx(100 * sum(within) / len(within))
    assert torch.equal(single.counts, whole.counts)


def test_a_factor_equal_to_the_bound_is_not_within() -> None:
    metric = DepthWithin(1)
    metric.update(torch.tensor([1.25, 1.0, 1.24]), torch.tensor([1.0, 1.25, 1.0]))
    assert metric.compute().item() == pytest.approx(100 / 3)


def test_what_is_no_depth_is_far_off() -> None:
    metric = DepthWithin(3)
    metric.update(torch.tensor([0.0, -1.0, torch.nan, torch.inf, 1.0]), torch.ones(5))
    assert metric.compute().item() == pytest.approx(20)


def test_no_label_at_all_is_nan_and_other_powers_are_refused() -> None:
    metric = DepthWithin(1)
    metric.update(torch.ones(3), torch.tensor([0.0, -1.0, torch.nan]))
    assert metric.compute().isnan()
    with pytest.raises(ValueError, match="power = 4"):
        DepthWithin(4)
    with pytest.raises(ValueError, match="shape of `target`"):
        metric.update(torch.ones(1, 1, 2, 2), torch.ones(1, 2, 2))
