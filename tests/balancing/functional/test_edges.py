"""Degenerate gradients have documented results, and unsolvable problems are refused."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from equipoise import functional
from equipoise.balancing.errors import NonFiniteError, SolverError
from equipoise.balancing.methods.aligned_mtl import aligned_mtl
from equipoise.balancing.methods.avgnorm import avgnorm
from equipoise.balancing.methods.cagrad import cagrad
from equipoise.balancing.methods.config import config
from equipoise.balancing.methods.edm import edm
from equipoise.balancing.methods.fairgrad import fairgrad
from equipoise.balancing.methods.imtl_g import imtl_g
from equipoise.balancing.methods.mgda import mgda
from equipoise.balancing.methods.nash_mtl import nash_mtl
from equipoise.balancing.methods.upgrad import upgrad

SOLVERS: list[Callable[[Tensor], Tensor]] = [
    aligned_mtl, avgnorm, cagrad, config, edm, fairgrad, imtl_g, mgda, nash_mtl, upgrad,
    lambda gram: functional.pcgrad(gram, [[1], [0]]),
    lambda gram: functional.gradvac(gram, torch.zeros(2, 2), [[1], [0]], 0.5)[0],
]  # fmt: skip


@pytest.mark.parametrize("method", SOLVERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(method: Callable[[Tensor], Tensor], value: float) -> None:
    for index in ((0, 0), (0, 1)):
        gram = torch.eye(2)
        gram[index] = gram[index[::-1]] = value
        with pytest.raises(ValueError, match="`gram` should be finite"):
            method(gram)


@pytest.mark.parametrize("method", SOLVERS)
@pytest.mark.parametrize("gram", [torch.ones(2, 3), torch.ones(2), torch.eye(2, dtype=torch.int64), torch.ones(0, 0)])
def test_what_is_no_gram_matrix_is_refused(method: Callable[[Tensor], Tensor], gram: Tensor) -> None:
    with pytest.raises(ValueError, match="`gram` should be a square floating-point matrix"):
        method(gram)


@pytest.mark.parametrize("method", [method for method in SOLVERS if method is not avgnorm])
def test_asymmetric_and_negative_matrices_are_refused(method: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(ValueError, match="`gram` should be symmetric"):
        method(torch.tensor([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="`gram` should have a non-negative diagonal"):
        method(torch.tensor([[-1.0, 0.0], [0.0, 1.0]]))


@pytest.mark.parametrize("method", SOLVERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_come_back_like_the_matrix_and_without_a_graph(
    method: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> None:
    jacobian = torch.randn(2, 9, dtype=dtype, generator=torch.Generator().manual_seed(0), requires_grad=True)
    gram = jacobian @ jacobian.T
    before = gram.detach().clone()
    weights = method(gram)
    assert weights.shape == (2,)
    assert weights.dtype == dtype
    assert not weights.requires_grad
    assert torch.equal(gram, before)


@pytest.mark.parametrize("method", SOLVERS)
def test_no_gradient_at_all_means_no_update(method: Callable[[Tensor], Tensor]) -> None:
    assert method(torch.zeros(2, 2)).isfinite().all()


@pytest.mark.parametrize("method", [nash_mtl, fairgrad])
def test_a_zero_gradient_cannot_be_bargained_with(method: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(SolverError, match=r"positions \[1\]") as caught:
        method(torch.diag(torch.tensor([1.0, 0.0, 2.0])))
    assert caught.value.residual == 1.0


@pytest.mark.parametrize("method", [nash_mtl, fairgrad, lambda gram: fairgrad(gram, 3.0)])
@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_opposite_gradients_cannot_be_bargained_with(method: Callable[[Tensor], Tensor], factor: float) -> None:
    gradient = torch.randn(9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    jacobian = torch.stack([gradient, -factor * gradient])
    with pytest.raises(SolverError, match="vanishes") as caught:
        method(jacobian @ jacobian.T)
    assert caught.value.residual > 1e-8


def test_opposite_gradients() -> None:
    gradient = torch.randn(9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for factor in (1.0, 3.0):
        jacobian = torch.stack([gradient, -factor * gradient])
        gram = jacobian @ jacobian.T
        for method in (mgda, upgrad, edm, config):
            assert (jacobian.T @ method(gram)).norm() <= 1e-7 * gradient.norm(), (method, factor)
    jacobian = torch.stack([gradient, -gradient])
    gram = jacobian @ jacobian.T
    assert torch.allclose(imtl_g(gram), torch.full((2,), 0.5, dtype=torch.float64))
    assert (jacobian.T @ cagrad(gram)).norm() <= 1e-7 * gradient.norm()
    assert (avgnorm(gram) <= 1e-7).all()


def test_imtl_g_can_go_uphill_for_every_task_where_edm_and_config_do_not() -> None:
    jacobian = torch.tensor([[1.0, 0.0, 0.0], [8.0, 4.0, 0.0], [8.0, -4.0, 0.5]], dtype=torch.float64)
    gram = jacobian @ jacobian.T
    projections = (gram @ imtl_g(gram)) / gram.diagonal().sqrt()
    assert torch.allclose(projections, projections[:1].expand(3))
    assert projections[0] < 0
    for method in (edm, config):
        assert (gram @ method(gram) > 0).all()
    assert torch.allclose(config(gram) / imtl_g(gram), (config(gram) / imtl_g(gram))[:1].expand(3))
    assert (config(gram) / imtl_g(gram))[0] < 0


@pytest.mark.parametrize("method", [mgda, upgrad])
def test_opposite_gradients_among_others_in_float32(method: Callable[[Tensor], Tensor]) -> None:
    generator = torch.Generator().manual_seed(6)
    for tasks in (3, 5, 8, 16):
        for factor in (1.0, 3.0):
            jacobian = torch.randn(tasks, 40, generator=generator)
            jacobian[1] = -factor * jacobian[0]
            direction = jacobian.T @ method(jacobian @ jacobian.T)
            norms = jacobian.norm(dim=1)
            assert (jacobian @ direction >= -2e-3 * norms * norms.max()).all()


def test_a_zero_gradient_among_others() -> None:
    jacobian = torch.randn(3, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    jacobian[1] = 0.0
    gram, others = jacobian @ jacobian.T, jacobian[[0, 2]]
    assert (jacobian.T @ mgda(gram)).norm() == 0
    assert (jacobian.T @ edm(gram)).norm() == 0
    for method in (imtl_g, config, avgnorm):
        weights = method(gram)
        assert weights[1] == 0
        assert torch.allclose(weights[[0, 2]], method(others @ others.T))
    assert torch.allclose(jacobian.T @ upgrad(gram), others.T @ upgrad(others @ others.T) * 2 / 3)


def test_cagrad_beside_a_zero_gradient_is_the_nearest_harmless_direction() -> None:
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        jacobian = torch.randn(4, 6, dtype=torch.float64, generator=generator)
        jacobian[2] = 0.0
        mean = jacobian.mean(0)
        direction = jacobian.T @ cagrad(jacobian @ jacobian.T, c=0.9)
        distance = (direction - mean).norm()
        assert distance <= 0.9 * mean.norm() * (1 + 1e-9)
        worst = (jacobian @ direction).min()
        assert worst >= -1e-9 or distance >= 0.9 * mean.norm() * (1 - 1e-9)


def test_imtl_g_says_so_where_no_weights_sum_to_one() -> None:
    # Equal projections need v = gram^-1 norms; here its sum vanishes.
    cosine = 0.2
    gram = torch.tensor([[1.0, cosine, cosine], [cosine, 1.0, cosine], [cosine, cosine, 1.0]], dtype=torch.float64)
    assert torch.allclose(imtl_g(gram), torch.full((3,), 1 / 3, dtype=torch.float64))


def test_avgnorm_from_tiny_to_huge() -> None:
    norms = torch.tensor([1e-20, 1.0, 1e20], dtype=torch.float64)
    weights = avgnorm(torch.diag(norms**2))
    assert torch.allclose(weights * norms, torch.full((3,), 1e20, dtype=torch.float64), rtol=1e-12)
    assert torch.equal(avgnorm(torch.zeros(3, 3)), torch.ones(3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cagrad(torch.eye(2), c=-0.1), r"`c` should be .* `c = -0.1`"),
        (lambda: fairgrad(torch.eye(2), alpha=0.0), r"`alpha` should be .* `alpha = 0.0`"),
        (lambda: aligned_mtl(torch.eye(2), "max"), r"`scale_mode` should be .* `scale_mode = 'max'`"),
        (lambda: config(torch.eye(2), length="square"), r"`length` should be .* `length = 'square'`"),
        (lambda: config(torch.eye(2), preference=torch.tensor([1.0, 0.0])), r"`preference` should hold 2 positive"),
        (lambda: functional.pcgrad(torch.eye(2), [[1]]), r"`order` should have one sequence for each of the 2 tasks"),
        (lambda: functional.pcgrad(torch.eye(2), [[2], [0]]), r"`order\[0\]` should hold indices from 0 to 1"),
        (lambda: functional.gradvac(torch.eye(2), torch.zeros(2, 2), [[1], [0]], 2.0), r"`beta` should be .* 2.0`"),
        (lambda: functional.gradvac(torch.eye(2), torch.ones(3), [[1], [0]], 0.5), r"`target` should hold cosines"),
        (lambda: functional.graddrop(torch.eye(2), torch.zeros(3)), r"`uniforms` the shape \[D\]"),
        (lambda: functional.graddrop(torch.eye(2), torch.zeros(2), leak=1.5), r"`leak` should be .* `leak = 1.5`"),
        (lambda: functional.dwa(torch.ones(2), torch.ones(2), temperature=0.0), r"`temperature = 0.0`"),
        (lambda: functional.stch(torch.ones(2), mu=0.0), r"`mu = 0.0`"),
        (lambda: functional.mgda_scales(torch.eye(2), torch.ones(2), "l1"), r"`normalization = 'l1'`"),
        (lambda: functional.fixed_weights(torch.ones(2, 3)), r"`step_weights` should have the shape"),
        (lambda: functional.fixed_weights(-torch.ones(2, 3, 2)), r"positive sum in every epoch"),
        (
            lambda: functional.sdmgrad(torch.full((2, 2), float("nan")), torch.ones(2) / 2),
            r"`cross_gram` should be finite",
        ),
    ],
)
def test_arguments_out_of_range(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_errors_carry_what_a_caller_needs() -> None:
    assert NonFiniteError("message", ["a", "b"]).tasks == ("a", "b")
    assert isinstance(NonFiniteError("message", ["a"]), ArithmeticError)
    assert SolverError("message", 0.5).residual == 0.5
    assert isinstance(SolverError("message", 0.5), RuntimeError)


def test_tasks_that_stay_equal_have_no_tension_in_cdtt() -> None:
    jacobian = torch.randn(1, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(4)).expand(3, -1)
    state = functional.CDTTState.start(3)
    for _ in range(12):
        weights, state = functional.cdtt(jacobian @ jacobian.T, torch.ones(3), state)
    assert torch.allclose(jacobian.T @ weights, jacobian[0], rtol=1e-7)


def test_excess_mtl_survives_a_task_without_gradient_in_the_first_step() -> None:
    generator = torch.Generator().manual_seed(5)
    jacobian = torch.randn(2, 9, generator=generator)
    state = functional.ExcessMTLState.start(jacobian)
    _, state = functional.excess_mtl(jacobian * torch.tensor([[1.0], [0.0]]), state)
    for _ in range(3):
        weights, state = functional.excess_mtl(torch.randn(2, 9, generator=generator), state)
        assert weights.isfinite().all()
        assert torch.isclose(weights.sum(), torch.tensor(2.0))
