"""Each method converges on three bowls, and no two methods take the same path."""

import itertools

import pytest
import torch
from torch import Tensor

from equipoise import functional

from .problems import METHODS, Quadratics, create

# Longer steps for weights that are small by construction. Weights are measured in every step.
RATES = {"dtp": 0.9}


def distance_from_stationarity(problem: Quadratics, x: Tensor) -> float:
    """Length of the shortest convex combination of the unit gradients: 0 exactly if no step improves all tasks."""
    unit = torch.nn.functional.normalize(problem.gradients(x))
    return float((functional.mgda(unit @ unit.T) @ unit).norm())


@pytest.fixture(scope="module")
def paths() -> dict[str, list[Tensor]]:
    problem = Quadratics()
    options = {"nash_mtl": {"every": 1}}
    return {name: problem.descend(create(name, **options.get(name, {})), rate=RATES.get(name, 0.3)) for name in METHODS}


@pytest.mark.parametrize("name", METHODS)
def test_arrives_at_the_pareto_set(paths, name):
    problem = Quadratics()
    assert distance_from_stationarity(problem, problem.start) > 0.5
    assert distance_from_stationarity(problem, paths[name][-1]) < 0.06


def test_no_two_methods_go_the_same_way(paths):
    for one, other in itertools.combinations(METHODS, 2):
        furthest = max(float((x - y).abs().max()) for x, y in zip(paths[one], paths[other], strict=True))
        assert furthest > 1e-3, (one, other)


def test_sums_end_where_the_sum_is_least(paths):
    problem = Quadratics()
    for name in ("dwa", "gradvac"):
        assert problem.gradients(paths[name][-1]).sum(0).norm() < 1e-3
    logarithms = problem.gradients(paths["si"][-1])
    weighted = logarithms / torch.stack(list(problem.losses(paths["si"][-1]).values()))[:, None]
    assert weighted.sum(0).norm() < 1e-6


def test_mgda_lets_no_loss_rise():
    problem = Quadratics()
    points = [problem.start, *problem.descend(create("mgda"), steps=40, rate=0.05)]
    values = torch.stack([torch.stack(list(problem.losses(point).values())) for point in points])
    assert (values.diff(dim=0) <= 1e-12).all()


def test_imtl_l_brings_weighted_losses_to_one():
    balancer = create("imtl_l", learning_rate=0.1, optimizer="sgd")
    x = torch.ones(1, dtype=torch.float64, requires_grad=True)
    for _ in range(500):
        balance = balancer.backward({"a": 5 * x.sum(), "b": 0.2 * x.sum()})
    assert {task: pytest.approx(float(balance.weights[task]), rel=1e-4) for task in "ab"} == {"a": 0.2, "b": 5.0}


def test_uw_brings_weighted_losses_to_one_half():
    balancer = create("uw", learning_rate=0.1, optimizer="sgd", kinds={"b": "classification"})
    x = torch.ones(1, dtype=torch.float64, requires_grad=True)
    for _ in range(500):
        balance = balancer.backward({"a": 5 * x.sum(), "b": 0.2 * x.sum()})
    assert float(balance.weights["a"] * 5) == pytest.approx(0.5, rel=1e-4)
    assert float(balance.weights["b"] * 0.2) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_gradnorm_equalises_the_weighted_norms(optimizer):
    balancer = create("gradnorm", learning_rate=0.01, optimizer=optimizer, alpha=0.0)
    x = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    for _ in range(300):
        balance = balancer.backward({"a": x[0] + 1, "b": 3 * x[1] + 1}, shared=[x], last_layer=x)
    assert float(balance.weights["a"]) == pytest.approx(1.5, abs=0.06)
    assert float(balance.weights["b"]) == pytest.approx(0.5, abs=0.06)
