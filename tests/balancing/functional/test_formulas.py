"""Formulas written out, each hyper-parameter with a value of its own, which recorded sequences do not have."""

import pytest
import torch

from equipoise import functional


def test_moco_decays_both_rates_each_by_its_own_exponent():
    generator = torch.Generator().manual_seed(2)
    jacobians = torch.randn(4, 3, 5, dtype=torch.float64, generator=generator)
    options = {"beta": 0.7, "beta_decay": 0.3, "gamma": 0.02, "gamma_decay": 0.9, "regularization": 0.5}
    state = functional.MoCoState.start(jacobians[0])
    tracked, weights = torch.zeros(3, 5, dtype=torch.float64), torch.full((3,), 1 / 3, dtype=torch.float64)
    for step, jacobian in enumerate(jacobians, 1):
        tracked = tracked + 0.7 / step**0.3 * (jacobian - tracked)
        moved = weights - 0.02 / step**0.9 * (tracked @ tracked.T @ weights + 0.5 * weights)
        # Inside of the simplex its projection spreads what is missing evenly.
        weights = moved + (1 - moved.sum()) / 3
        assert float(weights.min()) > 0.05
        direction, state = functional.moco(jacobian, state, **options)
        torch.testing.assert_close(state.weights, weights)
        torch.testing.assert_close(direction, tracked.T @ weights)


@pytest.mark.parametrize("name", ["mgda", "cagrad", "nash_mtl", "imtl_g", "aligned_mtl", "upgrad", "edm", "config"])
def test_a_matrix_that_is_symmetric_up_to_rounding_alone_is_a_gram_matrix(name):
    solve = getattr(functional, name)
    gram = torch.tensor([[2.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 3.0]], dtype=torch.float64)
    expected = solve(gram)
    off = torch.zeros_like(gram)
    off[0, 1] = 1.0
    torch.testing.assert_close(solve(gram + 1e-12 * off), expected, rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="`gram` should be symmetric"):
        solve(gram + 1e-6 * off)
