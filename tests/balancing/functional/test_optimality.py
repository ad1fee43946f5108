"""Each method's own optimality condition, on wide families of problems up to 64 tasks."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from equipoise.balancing.errors import SolverError
from equipoise.balancing.methods.cagrad import cagrad
from equipoise.balancing.methods.config import config
from equipoise.balancing.methods.edm import edm
from equipoise.balancing.methods.fairgrad import fairgrad
from equipoise.balancing.methods.imtl_g import imtl_g
from equipoise.balancing.methods.mgda import mgda
from equipoise.balancing.methods.nash_mtl import nash_mtl
from equipoise.balancing.methods.upgrad import upgrad

Families = Callable[..., dict[str, Tensor]]
TOLERANCE = 1e-8
SIZES = [1, 2, 3, 5, 8, 16, 32, pytest.param(64, marks=pytest.mark.slow)]


def relative_least_norm(jacobian: Tensor) -> float:
    """Return the least norm of a convex combination of unit gradients. If it is 0 some methods have no solution."""
    units = jacobian / jacobian.norm(dim=1, keepdim=True)
    return (units.T @ mgda(units @ units.T)).norm().item()


@pytest.mark.parametrize("tasks", SIZES)
def test_mgda_satisfies_its_optimality_condition(families: Families, tasks: int) -> None:
    for name, jacobian in families(tasks).items():
        weights = mgda(jacobian @ jacobian.T)
        direction = jacobian.T @ weights
        gap = direction @ direction - (jacobian @ direction).min()
        assert gap <= TOLERANCE * jacobian.norm(dim=1).max() ** 2, name
        assert weights.min() >= 0, name
        assert abs(weights.sum() - 1) <= 1e-12, name


@pytest.mark.parametrize("tasks", SIZES)
def test_edm_satisfies_its_optimality_condition(families: Families, tasks: int) -> None:
    for name, jacobian in families(tasks).items():
        weights = edm(jacobian @ jacobian.T)
        norms = jacobian.norm(dim=1)
        units = jacobian / norms[:, None]
        combination = weights * norms / (weights * norms).sum()
        middle = units.T @ combination
        assert middle @ middle - (units @ middle).min() <= TOLERANCE, name
        assert weights.min() >= 0, name
        assert abs(weights.sum() - 1) <= 1e-12, name


@pytest.mark.parametrize("tasks", SIZES)
def test_upgrad_is_the_mean_of_projections(families: Families, tasks: int) -> None:
    for name, jacobian in families(tasks).items():
        gram = jacobian @ jacobian.T
        norms = jacobian.norm(dim=1)
        direction = jacobian.T @ upgrad(gram)
        assert (jacobian @ direction >= -TOLERANCE * norms * norms.max()).all(), name
        if tasks > 16:
            continue
        # By linearity under scaling: a factor of 2 for one task adds that task's projection to the mean. It must be the
        # projection onto the cone: feasible, and the difference is normal to it.
        for task in range(tasks):
            scales = torch.ones(tasks, dtype=torch.float64).index_fill_(0, torch.tensor(task), 2.0)
            scaled = scales[:, None] * jacobian
            projection = tasks * (scaled.T @ upgrad(gram * scales * scales[:, None]) - direction)
            added = projection - jacobian[task]
            size = norms[task] * norms.max() * tasks
            assert (jacobian @ projection >= -10 * TOLERANCE * size).all(), name
            assert abs(added @ projection) <= 10 * TOLERANCE * size, name


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 10.0])
@pytest.mark.parametrize("tasks", SIZES)
def test_fairgrad_satisfies_its_optimality_condition(families: Families, tasks: int, alpha: float) -> None:
    for name, jacobian in families(tasks).items():
        gram = jacobian @ jacobian.T
        try:
            weights = fairgrad(gram, alpha)
        except SolverError:
            assert relative_least_norm(jacobian) < 1e-6, name
            continue
        assert ((gram @ weights) * weights ** (1 / alpha) - 1).abs().max() <= TOLERANCE, name
        assert weights.min() > 0, name


@pytest.mark.parametrize("tasks", SIZES)
def test_nash_direction_has_the_norm_of_its_theory(families: Families, tasks: int) -> None:
    for name, jacobian in families(tasks).items():
        try:
            weights = nash_mtl(jacobian @ jacobian.T)
        except SolverError:
            assert relative_least_norm(jacobian) < 1e-6, name
            continue
        assert abs((jacobian.T @ weights).norm() - math.sqrt(tasks)) <= TOLERANCE, name


@pytest.mark.parametrize("c", [0.1, 0.4, 0.9, 1.5])
@pytest.mark.parametrize("tasks", SIZES)
def test_cagrad_has_no_duality_gap(families: Families, tasks: int, c: float) -> None:
    for name, jacobian in families(tasks).items():
        weights = cagrad(jacobian @ jacobian.T, c)
        mean, norms = jacobian.mean(0), jacobian.norm(dim=1)
        unit = mean.norm() * norms.max()
        if mean.norm() <= 1e-7 * norms.max():
            continue
        direction = jacobian.T @ weights
        worst = (jacobian @ direction).min()
        assert (direction - mean).norm() <= c * mean.norm() * (1 + TOLERANCE), name
        added = weights - 1 / tasks
        assert added.min() >= -1e-12 * weights.abs().max(), name
        if worst >= -TOLERANCE * unit and relative_least_norm(jacobian) < 1e-6:
            continue  # no direction improves all tasks; this one harms none, which is the optimum
        combined = jacobian.T @ (added / added.sum())
        bound = combined @ mean + c * mean.norm() * combined.norm()
        assert bound - worst <= TOLERANCE * unit, name


@pytest.mark.parametrize("method", [imtl_g, config])
@pytest.mark.parametrize("tasks", [1, 2, 3, 5, 8, 16, 32])
def test_equal_projections(families: Families, tasks: int, method: Callable[[Tensor], Tensor]) -> None:
    compared = 0
    for name, jacobian in families(tasks).items():
        units = jacobian / jacobian.norm(dim=1, keepdim=True)
        spectrum = torch.linalg.eigvalsh(units @ units.T)
        if spectrum[0] <= 1e-6 * spectrum[-1]:
            continue  # dependent gradients: a least-squares solution only
        direction = jacobian.T @ method(jacobian @ jacobian.T)
        projections = units @ direction
        assert (projections - projections.mean()).abs().max() <= 1e-9 * direction.norm(), name
        compared += 1
    assert compared >= 4


@pytest.mark.parametrize("tasks", [2, 5])
def test_almost_opposite_gradients_are_solved_or_refused(tasks: int) -> None:
    generator = torch.Generator().manual_seed(tasks)
    for exponent in range(1, 12):
        jacobian = torch.randn(tasks, 30, dtype=torch.float64, generator=generator)
        jacobian[1] = -jacobian[0] + 10.0**-exponent * jacobian[1]
        gram = jacobian @ jacobian.T
        for method in (nash_mtl, cagrad, upgrad, mgda, edm, config):
            try:
                weights = method(gram)
            except SolverError:
                assert exponent >= 4, (method, exponent)
            else:
                assert weights.isfinite().all(), (method, exponent)
