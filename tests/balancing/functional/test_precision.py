"""Ill-conditioned problems: solutions are compared with independent ones of higher precision."""

import mpmath
import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from torch import Tensor

from equipoise.balancing.errors import SolverError
from equipoise.balancing.methods.aligned_mtl import aligned_mtl
from equipoise.balancing.methods.cagrad import cagrad
from equipoise.balancing.methods.config import config
from equipoise.balancing.methods.fairgrad import fairgrad
from equipoise.balancing.methods.imtl_g import imtl_g
from equipoise.balancing.methods.upgrad import upgrad


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def almost_opposite(tasks: int, distance: float, seed: int) -> Tensor:
    jacobian = normal(tasks, tasks + 20, seed=seed)
    jacobian[1] = -2 * jacobian[0] + distance * jacobian[1]
    return jacobian


def ill_conditioned(tasks: int, condition: float, seed: int) -> Tensor:
    """Gradients whose Gram matrix has this condition number."""
    left, right = (torch.linalg.qr(normal(size, tasks, seed=seed)).Q for size in (tasks, tasks + 20))
    return left @ ((torch.linspace(0, -1, tasks, dtype=torch.float64) * np.log(condition) / 2).exp()[:, None] * right.T)


@pytest.mark.parametrize("scale_mode", ["min", "median", "rmse"])
@pytest.mark.parametrize("tasks", [2, 3, 5, 8])
def test_aligned_mtl_of_very_unequal_gradients(tasks: int, scale_mode: str) -> None:
    norms = 10.0 ** torch.linspace(-3, 3, tasks, dtype=torch.float64).roll(1)[:, None]
    jacobian = (normal(tasks, 30, seed=tasks) + 2 * normal(1, 30, seed=99)) * norms
    gram = jacobian @ jacobian.T
    with mpmath.workdps(50):
        exact = mpmath.matrix(gram.tolist())
        values, vectors = mpmath.eigsy(exact)
        ordered = sorted(values)
        scale = {"min": ordered[0], "median": ordered[(tasks - 1) // 2], "rmse": sum(ordered) / tasks}[scale_mode]
        roots = mpmath.diag([mpmath.sqrt(scale / value) for value in values])
        expected = vectors * roots * vectors.T * mpmath.ones(tasks, 1)
    direction = jacobian.T @ torch.tensor([float(value) for value in expected], dtype=torch.float64)
    found = jacobian.T @ aligned_mtl(gram, scale_mode)
    assert (found - direction).norm() <= 1e-11 * direction.norm()


@pytest.mark.parametrize("method", [imtl_g, config])
@pytest.mark.parametrize("condition", [1e4, 1e8, 1e12])
@pytest.mark.parametrize("tasks", [2, 3, 8, 16])
def test_equal_projections_of_nearly_dependent_gradients(tasks: int, condition: float, method) -> None:
    jacobian = ill_conditioned(tasks, condition, seed=tasks)
    direction = jacobian.T @ method(jacobian @ jacobian.T)
    projections = (jacobian @ direction) / jacobian.norm(dim=1)
    assert (projections - projections.mean()).abs().max() <= 1e-8 * direction.norm()


@pytest.mark.parametrize(
    "jacobian",
    [
        *(ill_conditioned(tasks, 1e12, seed=tasks) for tasks in (3, 8, 16)),
        *(almost_opposite(tasks, 1e-4, seed=tasks) for tasks in (3, 8, 16)),
        normal(16, 5, seed=0) @ normal(5, 40, seed=1),
        pytest.param(normal(64, 32, seed=0) @ normal(32, 80, seed=1), marks=pytest.mark.slow),
    ],
)
def test_upgrad_projects_as_an_independent_solver_does(jacobian: Tensor) -> None:
    norms = jacobian.norm(dim=1, keepdim=True)
    units = (jacobian / norms).numpy()
    multipliers = torch.tensor(np.stack([nnls(units.T, -unit, maxiter=10_000)[0] for unit in units]))
    expected = (norms * torch.tensor(units) + norms * (multipliers @ torch.tensor(units))).mean(0)
    found = jacobian.T @ upgrad(jacobian @ jacobian.T)
    assert (found - expected).norm() <= 1e-7 * norms.max()


@pytest.mark.parametrize("tasks", [2, 3, 8])
@pytest.mark.parametrize("distance", [1e-1, 1e-2, 1e-3, 1e-4, 1e-6])
def test_bargaining_of_almost_opposite_gradients(tasks: int, distance: float) -> None:
    jacobian = almost_opposite(tasks, distance, seed=tasks)
    gram = jacobian @ jacobian.T
    for alpha in (0.5, 1.0, 2.0):
        try:
            weights = fairgrad(gram, alpha)
        except SolverError:
            assert distance < 1e-3, alpha
            continue
        with mpmath.workdps(40):
            products = mpmath.matrix(gram.tolist()) * mpmath.matrix(weights.tolist())
            powers = [mpmath.mpf(weight) ** (1 / mpmath.mpf(alpha)) for weight in weights.tolist()]
            residual = max(abs(product * power - 1) for product, power in zip(products, powers, strict=True))
        assert residual <= (1e-8 if distance > 1e-3 else 1e-5), (alpha, float(residual))


@pytest.mark.parametrize("tasks", [2, 3, 8, 16])
@pytest.mark.parametrize("distance", [1e-2, 1e-4])
def test_cagrad_of_almost_opposite_gradients(tasks: int, distance: float) -> None:
    jacobian = almost_opposite(tasks, distance, seed=tasks)
    weights = cagrad(jacobian @ jacobian.T, 0.9)
    mean, added = jacobian.mean(0), weights - 1 / tasks
    direction, combined = jacobian.T @ weights, jacobian.T @ (added / added.sum())
    unit = mean.norm() * jacobian.norm(dim=1).max()
    bound = combined @ mean + 0.9 * mean.norm() * combined.norm()
    assert (direction - mean).norm() <= 0.9 * mean.norm() * (1 + 1e-6)
    assert bound - (jacobian @ direction).min() <= 1e-6 * unit
