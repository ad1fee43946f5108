"""A gradient counts as zero when all but a ten millionth of it cancels, and not before."""

import pytest
import torch
from torch import nn

import equipoise


@pytest.mark.parametrize("difference", [1e-2, 1e-4, 1e-5, 1e-6])
def test_small_differences_are_measured(difference):
    """The gradient of f(x) - f(y) at a linear layer is x - y in every row, whatever x and y are."""
    torch.manual_seed(0)
    layer = nn.Linear(40, 30)
    inputs = torch.zeros(2, 40)
    inputs[:, 0] = 1.0
    inputs[0, 1] = difference
    features = layer(inputs)
    losses = {"a": (features[0] - features[1]).sum(), "b": features.sum()}
    balance = equipoise.AvgNorm().backward(losses, features=features, last_layer=layer)
    # b reads (2, difference, 0, ...), and 2 for the bias.
    one, other = 30**0.5 * difference, (30 * (8 + difference**2)) ** 0.5
    torch.testing.assert_close(balance.norms["a"].double(), torch.tensor(one).double(), rtol=1e-3, atol=0)
    torch.testing.assert_close(balance.norms["b"].double(), torch.tensor(other).double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(
        float(balance.weights["a"]), (other**2 + one**2 + 60 * difference**2) ** 0.5 / one, rtol=1e-3, atol=0
    )


@pytest.mark.parametrize("difference", [1e-7, 1e-8])
def test_differences_that_are_rounding_are_zero(difference):
    layer = nn.Linear(40, 30)
    inputs = torch.zeros(2, 40)
    inputs[:, 0] = 1.0
    inputs[0, 1] = difference
    features = layer(inputs)
    losses = {"a": (features[0] - features[1]).sum(), "b": features.sum()}
    balance = equipoise.AvgNorm().backward(losses, features=features, last_layer=layer)
    assert float(balance.norms["a"]) == float(balance.weights["a"]) == 0.0
    assert float(balance.weights["b"]) == pytest.approx(1.0)
