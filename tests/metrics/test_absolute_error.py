import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics import AbsoluteError, RelativeError

TARGET = torch.tensor([2.0, 0.5, 4.0, 0.0, -1.0, float("nan"), float("inf")])
PREDICTION = torch.tensor([1.0, 1.0, 4.0, 7.0, 7.0, 7.0, 7.0])


def test_hand_solved_case_with_holes() -> None:
    absolute, relative, signed = AbsoluteError(above=0), RelativeError(), AbsoluteError()
    for metric in (absolute, relative, signed):
        metric.update(PREDICTION, TARGET)
    assert absolute.compute().item() == 0.5
    assert relative.compute().item() == 0.5
    # Without a bound, zero and negative values are labels too, as offsets are.
    assert signed.compute().item() == pytest.approx((1 + 0.5 + 0 + 7 + 8) / 5)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), images=st.integers(1, 5))
def test_equals_a_loop_for_any_split_into_batches(seed: int, images: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.randn(images, 1, 3, 4, generator=generator)
    target = torch.randn(images, 1, 3, 4, generator=generator).relu()
    target[0, 0, 0, 0] = 1.0
    pairs = [(p, t) for p, t in zip(prediction.flatten().tolist(), target.flatten().tolist(), strict=True) if t > 0]
    expected = {
        AbsoluteError: math.fsum(abs(p - t) for p, t in pairs) / len(pairs),
        RelativeError: math.fsum(abs(p - t) / t for p, t in pairs) / len(pairs),
    }
    for metric in (AbsoluteError(above=0), RelativeError()):
        for one_prediction, one_target in zip(prediction.split(1), target.split(1), strict=True):
            metric.update(one_prediction, one_target)
        assert metric.compute().item() == pytest.approx(expected[type(metric)], rel=1e-5)


@pytest.mark.parametrize("metric", [AbsoluteError(above=0), RelativeError()], ids=["absolute", "relative"])
def test_no_label_at_all_is_nan(metric: AbsoluteError | RelativeError) -> None:
    metric.update(torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2))
    assert metric.compute().isnan()


@pytest.mark.parametrize("metric", [AbsoluteError(), RelativeError()], ids=["absolute", "relative"])
def test_shapes_must_agree(metric: AbsoluteError | RelativeError) -> None:
    with pytest.raises(ValueError, match="shape of `target`"):
        metric.update(torch.ones(1, 2, 2, 2), torch.ones(1, 1, 2, 2))
