"""Shares below a bound: what lies exactly on it is not below."""

import pytest
import torch

from equipoise.metrics import DepthWithin


@pytest.mark.parametrize("power", [1, 2, 3])
def test_a_depth_at_the_bound_is_not_within(power: int) -> None:
    # Powers of 1.25 have few binary digits: no rounding decides.
    bound = 1.25**power
    metric = DepthWithin(power)
    metric.update(torch.tensor([bound, 1.0, bound - 2**-20]), torch.tensor([1.0, bound, 1.0]))
    assert metric.compute().item() == pytest.approx(100 / 3)
