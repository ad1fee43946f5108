"""Properties that the theory promises: symmetries, closed forms and identities between methods."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from equipoise import functional
from equipoise.balancing.methods.aligned_mtl import aligned_mtl
from equipoise.balancing.methods.avgnorm import avgnorm
from equipoise.balancing.methods.cagrad import cagrad
from equipoise.balancing.methods.config import config
from equipoise.balancing.methods.edm import edm
from equipoise.balancing.methods.fairgrad import fairgrad
from equipoise.balancing.methods.gradvac import gradvac
from equipoise.balancing.methods.imtl_g import imtl_g
from equipoise.balancing.methods.mgda import mgda
from equipoise.balancing.methods.nash_mtl import nash_mtl
from equipoise.balancing.methods.pcgrad import pcgrad
from equipoise.balancing.methods.upgrad import upgrad


def round_robin(tasks: int) -> list[list[int]]:
    return [[(task + offset) % tasks for offset in range(1, tasks)] for task in range(tasks)]


def pcgrad_in_turn(gram: Tensor) -> Tensor:
    return pcgrad(gram, round_robin(len(gram)))


def gradvac_in_turn(gram: Tensor) -> Tensor:
    return gradvac(gram, torch.zeros_like(gram), round_robin(len(gram)), beta=0.5)[0]


def fairgrad_2(gram: Tensor) -> Tensor:
    return fairgrad(gram, alpha=2.0)


EVERY = [
    aligned_mtl, avgnorm, cagrad, config, edm, fairgrad_2, gradvac_in_turn, imtl_g, mgda, nash_mtl, pcgrad_in_turn,
    upgrad,
]  # fmt: skip
# The power of c by which the direction grows when all gradients grow by c.
DEGREES = {nash_mtl: 0.0, fairgrad_2: -1 / 3}
IN_ORDER = {pcgrad_in_turn, gradvac_in_turn}

problems = st.tuples(st.integers(1, 6), st.integers(0, 2**31 - 1)).map(
    lambda drawn: torch.randn(drawn[0], 12, dtype=torch.float64, generator=torch.Generator().manual_seed(drawn[1]))
)
searched = settings(max_examples=30, deadline=None, derandomize=True)


def direction(method, jacobian: Tensor) -> Tensor:
    return jacobian.T @ method(jacobian @ jacobian.T)


def same(first: Tensor, second: Tensor, tolerance: float = 1e-7) -> bool:
    return bool((first - second).norm() <= tolerance * max(first.norm(), second.norm()))


@pytest.mark.parametrize("method", EVERY)
@given(jacobian=problems, factor=st.sampled_from([1e-18, 1e-3, 7.0, 1e4, 1e18]))
@searched
def test_scaling_all_gradients(method, jacobian: Tensor, factor: float) -> None:
    expected = direction(method, jacobian) * factor ** DEGREES.get(method, 1.0)
    # GradVac's epsilon, taken from public codes, is felt at the eighth digit where gradients are short.
    tolerance = 1e-5 if method is gradvac_in_turn else 1e-7
    assert same(direction(method, factor * jacobian), expected, tolerance)


@pytest.mark.parametrize("method", [method for method in EVERY if method not in IN_ORDER])
@given(jacobian=problems, seed=st.integers(0, 1000))
@searched
def test_the_order_of_the_tasks_does_not_matter(method, jacobian: Tensor, seed: int) -> None:
    permutation = torch.randperm(len(jacobian), generator=torch.Generator().manual_seed(seed))
    weights = method(jacobian @ jacobian.T)
    shuffled = jacobian[permutation]
    assert torch.allclose(method(shuffled @ shuffled.T), weights[permutation], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", EVERY)
@given(jacobian=problems, seed=st.integers(0, 1000))
@searched
def test_rotating_the_parameters_rotates_the_direction(method, jacobian: Tensor, seed: int) -> None:
    square = torch.randn(12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    rotation = torch.linalg.qr(square).Q
    assert same(direction(method, jacobian @ rotation), direction(method, jacobian) @ rotation)


@pytest.mark.parametrize("method", [edm, config, nash_mtl, avgnorm])
@given(jacobian=problems, exponents=st.lists(st.floats(-2, 2), min_size=6, max_size=6))
@searched
def test_the_direction_depends_on_angles_only(method, jacobian: Tensor, exponents: list[float]) -> None:
    scales = 10 ** torch.tensor(exponents[: len(jacobian)], dtype=torch.float64)[:, None]
    first, second = direction(method, jacobian), direction(method, scales * jacobian)
    if method is nash_mtl:
        assert same(first, second)
    assert same(first / first.norm(), second / second.norm())


@pytest.mark.parametrize("method", [mgda, upgrad, nash_mtl, fairgrad_2, edm, config])
@given(jacobian=problems)
@searched
def test_no_task_is_harmed(method, jacobian: Tensor) -> None:
    found = direction(method, jacobian)
    assert (jacobian @ found >= -1e-8 * jacobian.norm(dim=1) * found.norm()).all()


@given(jacobian=problems, exponents=st.lists(st.floats(-3, 3), min_size=6, max_size=6))
@searched
def test_upgrad_is_linear_under_scaling(jacobian: Tensor, exponents: list[float]) -> None:
    scales = 10 ** torch.tensor(exponents[: len(jacobian)], dtype=torch.float64)
    tasks = len(jacobian)
    parts = [
        direction(
            upgrad, jacobian * torch.ones(tasks, dtype=torch.float64).index_fill_(0, torch.tensor(i), 2.0)[:, None]
        )
        - direction(upgrad, jacobian)
        for i in range(tasks)
    ]
    expected = sum(scale * part for scale, part in zip(scales, parts, strict=True))
    assert same(direction(upgrad, scales[:, None] * jacobian), torch.as_tensor(expected), 1e-6)


@given(jacobian=problems)
@searched
def test_cagrad_improves_the_worst_task_at_least_as_the_mean_does(jacobian: Tensor) -> None:
    found, mean = direction(cagrad, jacobian), jacobian.mean(0)
    assert (jacobian @ found).min() >= (jacobian @ mean).min() - 1e-9
    assert torch.allclose(direction(lambda gram: cagrad(gram, c=0.0), jacobian), mean, rtol=1e-12)
    toward = direction(lambda gram: cagrad(gram, c=1e7), jacobian)
    least = direction(mgda, jacobian)
    assert same(toward / toward.norm(), least / least.norm(), 1e-5)


@given(jacobian=problems)
@searched
def test_aligned_gradients_are_orthogonal_and_equally_long(jacobian: Tensor) -> None:
    gram = jacobian @ jacobian.T
    least = torch.linalg.eigvalsh(gram)[0]
    assert abs(direction(aligned_mtl, jacobian).norm() - (least * len(gram)).sqrt()) <= 1e-7 * gram.max().sqrt()


@given(jacobian=problems)
@searched
def test_two_tasks(jacobian: Tensor) -> None:
    if len(jacobian) < 2:
        return
    pair = jacobian[:2]
    assert same(direction(pcgrad_in_turn, pair), 2 * direction(upgrad, pair), 1e-9)
    assert same(direction(gradvac_in_turn, pair), direction(pcgrad_in_turn, pair), 1e-6)
    first, second = direction(edm, pair), direction(avgnorm, pair)
    assert same(first / first.norm(), second / second.norm(), 1e-9)
    norms = pair.norm(dim=1)
    assert torch.allclose(edm(pair @ pair.T), norms.flip(0) / norms.sum())


@given(norms=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12))
@searched
def test_orthogonal_gradients(norms: list[float]) -> None:
    n = torch.tensor(norms, dtype=torch.float64)
    gram = torch.diag(n**2)

    def proportional(weights: Tensor, expected: Tensor) -> bool:
        return torch.allclose(weights / weights.sum(), expected / expected.sum(), rtol=1e-9)

    for method in (nash_mtl, edm, imtl_g, avgnorm, config):
        assert proportional(method(gram), 1 / n)
    for alpha in (0.5, 1.0, 2.0, 5.0):
        assert torch.allclose(fairgrad(gram, alpha), n ** (-2 * alpha / (alpha + 1)), rtol=1e-9)
    assert proportional(mgda(gram), n**-2)
    assert torch.equal(pcgrad_in_turn(gram), torch.ones_like(n))
    assert torch.allclose(upgrad(gram), torch.full_like(n, 1 / len(n)))
    assert torch.allclose(aligned_mtl(gram), n.min() / n, rtol=1e-9)


@pytest.mark.parametrize("tasks", [2, 3, 8])
def test_identical_gradients(tasks: int) -> None:
    gradient = torch.randn(20, dtype=torch.float64, generator=torch.Generator().manual_seed(tasks))
    jacobian = gradient.expand(tasks, -1)
    square = gradient @ gradient
    expected = {
        mgda: gradient,
        imtl_g: gradient,
        edm: gradient,
        upgrad: gradient,
        cagrad: 1.4 * gradient,
        pcgrad_in_turn: tasks * gradient,
        gradvac_in_turn: tasks * gradient,
        aligned_mtl: tasks * gradient,
        config: tasks * gradient,
        avgnorm: tasks**2 * gradient,
        nash_mtl: tasks**0.5 * gradient / gradient.norm(),
        fairgrad_2: tasks * (tasks * square) ** (-2 / 3) * gradient,
    }
    assert set(expected) == set(EVERY)
    for method, value in expected.items():
        assert same(direction(method, jacobian), value, 1e-6), method


@pytest.mark.parametrize("method", EVERY)
def test_one_task(method) -> None:
    gram = torch.tensor([[4.0]], dtype=torch.float64)
    expected = {nash_mtl: 0.5, fairgrad_2: 0.25 ** (2 / 3), cagrad: 1.4}.get(method, 1.0)
    weights = pcgrad(gram, [[]]) if method is pcgrad_in_turn else method(gram)
    assert torch.allclose(weights, torch.tensor([expected], dtype=torch.float64), rtol=1e-9)


def test_edm_of_parallel_gradients_shares_the_weight() -> None:
    jacobian = torch.tensor([[1.0, 2.0], [3.0, 6.0]], dtype=torch.float64)
    assert torch.allclose(direction(edm, jacobian), 1.5 * jacobian[0], rtol=1e-7)


def test_gradvac_reaches_its_target() -> None:
    jacobian = torch.randn(2, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    target = torch.full((2, 2), 0.6, dtype=torch.float64)
    gram = jacobian @ jacobian.T
    weights, updated = gradvac(gram, target, [[1], []], beta=0.25, epsilon=0.0)
    turned = jacobian.T @ (weights - torch.tensor([0.0, 1.0]))
    assert torch.isclose(turned @ jacobian[1] / (turned.norm() * jacobian[1].norm()), torch.tensor(0.6).double())
    cosine = gram[0, 1] / (gram[0, 0] * gram[1, 1]).sqrt()
    assert torch.isclose(updated[0, 1], 0.75 * 0.6 + 0.25 * cosine)
    assert updated[1, 0] == 0.6


def test_losses_only_methods_do_what_they_say() -> None:
    losses = torch.tensor([0.3, 2.0, 5.0], dtype=torch.float64)
    assert torch.allclose(functional.gls(losses) * losses, losses.log().mean().exp().expand(3) / 3)
    assert torch.allclose(functional.gls(torch.full((40,), 1e-3)), torch.full((40,), 1 / 40))
    assert torch.allclose(functional.dwa(losses, losses), torch.ones(3, dtype=torch.float64))
    assert functional.dwa(losses, torch.zeros(3, dtype=torch.float64)).isfinite().all()
    assert torch.allclose(functional.dwa(torch.tensor([1e6, 1.0]), torch.ones(2)).sum(), torch.tensor(2.0))
    _, slope = functional.uw(losses, losses.log())
    assert slope.abs().max() <= 1e-12
    assert functional.stch(losses, mu=1e-6).argmax() == 2
    assert functional.famo_weights(losses, torch.zeros(3, dtype=torch.float64)).sum() == pytest.approx(1.0)
