"""The two ways to factorise a matrix agree: rows where there are few, a tensor where there are many."""

import pytest
import torch

from equipoise.balancing.solvers.gram import factorized, factorized_rows


@pytest.mark.parametrize("tasks", [1, 2, 5, 8])
def test_rows_are_factorised_as_a_tensor_is(tasks: int) -> None:
    generator = torch.Generator().manual_seed(tasks)
    jacobian = torch.randn(tasks, 20, dtype=torch.float64, generator=generator)
    added = torch.rand(tasks, dtype=torch.float64, generator=generator)
    right = torch.randn(tasks, dtype=torch.float64, generator=generator).tolist()
    gram = jacobian @ jacobian.T
    by_rows, by_tensor = factorized_rows(gram.tolist(), added.tolist()), factorized(gram + added.diag())
    assert by_rows is not None
    assert by_tensor is not None
    assert by_rows.solve(right) == pytest.approx(by_tensor.solve(right), rel=1e-12)


def test_what_is_not_positive_definite_has_no_factor() -> None:
    assert factorized_rows([[1.0, 2.0], [2.0, 1.0]], [0.0, 0.0]) is None
    assert factorized_rows([[1.0, 1.0], [1.0, 1.0]], [0.0, 0.0]) is None
    assert factorized_rows([[1.0, 0.0], [0.0, float("nan")]], [0.0, 0.0]) is None
