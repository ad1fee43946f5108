"""Functions with a state, against recorded sequences."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from equipoise import functional

from ..conftest import Parity


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture(scope="module")
def records(parity: Parity) -> list[dict[str, Any]]:
    return parity.read("sequences_dev")["records"]


@pytest.fixture(scope="module")
def more(parity: Parity) -> list[dict[str, Any]]:
    return parity.read("more_dev")["sequences"]


def of(records: list[dict[str, Any]], method: str, *implementations: str) -> list[dict[str, Any]]:
    found = [
        record
        for record in records
        if record["method"] == method and any(name in record["impl"] for name in implementations or ("",))
    ]
    assert found
    return found


def oracle(sequences: list[dict[str, Any]], method: str, name: str = "oracle") -> list[tuple[dict, dict]]:
    found = [
        (sequence, output)
        for sequence in sequences
        if sequence["method"] == method
        for output in sequence["outputs"]
        if output["impl"].startswith(name)
    ]
    assert found
    return found


def close(found: Tensor, expected: Any, tolerance: float = 1e-10) -> None:
    expected = tensor(expected)
    assert (found - expected).norm() <= tolerance * max(1e-9, expected.norm().item()), (found, expected)


def test_dwa(records: list[dict[str, Any]]) -> None:
    for record in of(records, "dwa"):
        losses = tensor(record["inputs"]["epoch_losses"])
        for epoch in range(2, len(losses)):
            weights = functional.dwa(losses[epoch - 1], losses[epoch - 2], record["hparams"]["temperature"])
            close(weights, record["outputs"]["weights"][epoch])


def test_famo(records: list[dict[str, Any]]) -> None:
    for record in of(records, "famo", "famo.py", "torchjd"):
        inputs, outputs, options = record["inputs"], record["outputs"], record["hparams"]
        minima = tensor(inputs["min_losses"])
        logits = torch.zeros_like(minima, requires_grad=True)
        optimizer = torch.optim.Adam([logits], lr=options["w_lr"], weight_decay=options["gamma"])
        for step, (before, after) in enumerate(zip(inputs["losses_before"], inputs["losses_after"], strict=True)):
            close(logits.detach(), outputs["logits"][step])
            close(functional.famo_weights(tensor(before), logits, minima), outputs["effective_weights"][step])
            logits.grad = functional.famo_gradient(tensor(before), tensor(after), logits, minima)
            optimizer.step()
        close(logits.detach(), outputs["final_logits"])


@pytest.mark.parametrize("method", ["uw", "imtl_l"])
def test_learnt_scales(records: list[dict[str, Any]], method: str) -> None:
    optimizers = {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam}
    for record in of(records, method):
        losses, options = tensor(record["inputs"]["losses"]), record["hparams"]
        scales = torch.full_like(losses[0], options["init"], requires_grad=True)
        optimizer = optimizers[options["optimizer"]]([scales], lr=options["lr"])
        for step, loss in enumerate(losses):
            weights, gradient = getattr(functional, method)(loss, scales)
            close(scales.detach(), record["outputs"]["s"][step])
            close(weights, record["outputs"]["effective_weights"][step])
            scales.grad = gradient
            optimizer.step()
        close(scales.detach(), record["outputs"]["final_s"])


def test_gradnorm(records: list[dict[str, Any]]) -> None:
    optimizers = {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam}
    for record in of(records, "gradnorm", "VICO"):
        losses, norms = tensor(record["inputs"]["losses"]), tensor(record["inputs"]["grad_norms"])
        options = record["hparams"]
        weights = torch.ones_like(losses[0], requires_grad=True)
        optimizer = optimizers[options["optimizer"]]([weights], lr=options["lr"])
        for step, (loss, norm) in enumerate(zip(losses, norms, strict=True)):
            close(weights.detach(), record["outputs"]["weights"][step])
            forces = functional.gradnorm(loss, losses[0], norm, weights, options["alpha"])
            close(forces.gradient, record["outputs"]["grad_w"][step])
            weights.grad = forces.gradient
            optimizer.step()
            if (weights < 1e-3).any():
                break  # the reference lets weights become negative, here they are clamped
            weights.data = functional.gradnorm_renormalized(weights.data)


def test_gradvac(records: list[dict[str, Any]]) -> None:
    for record in of(records, "gradvac", "torchjd", "LibMTL"):
        jacobians = tensor(record["inputs"]["J"])
        tasks = jacobians.shape[1]
        order = [[other for other in range(tasks) if other != task] for task in range(tasks)]
        target = torch.zeros(tasks, tasks, dtype=torch.float64)
        for step, jacobian in enumerate(jacobians):
            weights, target = functional.gradvac(jacobian @ jacobian.T, target, order, record["hparams"]["beta"])
            close(jacobian.T @ weights, record["outputs"]["g"][step])
        close(target, record["outputs"]["rho"])


def test_db_mtl(records: list[dict[str, Any]]) -> None:
    for record in of(records, "dbmtl"):
        jacobians, losses = tensor(record["inputs"]["J"]), tensor(record["inputs"]["losses"])
        state = functional.DBMTLState.start(jacobians[0])
        options = record["hparams"]
        for step, (jacobian, loss) in enumerate(zip(jacobians, losses, strict=True)):
            direction, state = functional.db_mtl(
                jacobian, loss, state, beta=options["beta"], beta_decay=options["beta_sigma"]
            )
            close(direction, record["outputs"]["g"][step])


def test_moco(records: list[dict[str, Any]]) -> None:
    for record in of(records, "moco", "heshandevaka"):
        jacobians, options = tensor(record["inputs"]["J"]), record["hparams"]
        state = functional.MoCoState.start(jacobians[0])
        for step, jacobian in enumerate(jacobians):
            direction, state = functional.moco(
                jacobian,
                state,
                beta=options["beta"],
                beta_decay=options["beta_sigma"],
                gamma=2 * options["gamma(delta)"],
                gamma_decay=options["gamma_sigma"],
                regularization=options["rho"],
            )
            close(direction, record["outputs"]["g"][step])
        close(state.weights, tensor(record["outputs"]["lambda"]).reshape(-1, len(state.weights))[-1].tolist())


def test_sdmgrad(records: list[dict[str, Any]]) -> None:
    missed = compared = 0
    for record in of(records, "sdmgrad", "torchjd"):
        zeta, first, second = (tensor(record["inputs"][name]) for name in ("J_zeta", "J_xi1", "J_xi2"))
        simplex = torch.full((zeta.shape[1],), 1 / zeta.shape[1], dtype=torch.float64)
        for step in range(len(zeta)):
            weights, simplex = functional.sdmgrad(first[step] @ second[step].T, simplex, record["hparams"]["lambda"])
            expected = tensor(record["outputs"]["g"][step])
            missed += ((zeta[step].T @ weights - expected).norm() > 1e-3 * expected.norm()).item()
            compared += 1
    assert missed <= 0.1 * compared  # the inner loop is chaotic: rounding decides between faces of the simplex


def test_dtp(records: list[dict[str, Any]]) -> None:
    for record in of(records, "dtp"):
        indicators, options = tensor(record["inputs"]["kpi"]), record["hparams"]
        averages = indicators[0]
        for step, indicator in enumerate(indicators):
            weights, averages = functional.dtp(indicator, averages, options["alpha"], options["gamma"])
            close(averages, record["outputs"]["kbar"][step])
            close(weights, record["outputs"]["weights"][step])


def test_stch(records: list[dict[str, Any]]) -> None:
    for record in of(records, "stch"):
        expected, mu = record["outputs"]["effective_weights"], record["hparams"]["mu"]
        for row, losses in enumerate(tensor(record["inputs"]["losses"])):
            if "nadir" in record["inputs"]:
                close(functional.stch_of_logarithms(losses, tensor(record["inputs"]["nadir"]), mu), expected[row])
            elif record["impl"] == "LibMTL warm-up":
                close(functional.si(losses), expected[row])
            else:
                close(functional.stch(losses, mu), expected[row])


def test_rlw(records: list[dict[str, Any]]) -> None:
    generator = torch.Generator().manual_seed(0)
    for record in of(records, "rlw"):
        tasks, draws = record["hparams"]["T"], 100_000
        rows = torch.randn(draws, tasks, dtype=torch.float64, generator=generator)
        weights = torch.stack([functional.rlw(row) for row in rows[:1000]])
        assert (weights > 0).all()
        close(weights.sum(1), [1.0] * 1000, 1e-12)
        weights = functional.rlw(rows.T).T
        spread = math.sqrt(record["outputs"]["var_w0"])
        assert abs(weights[:, 0].mean().item() - 1 / tasks) <= 5 * spread / math.sqrt(draws)
        assert abs(weights[:, 0].var().item() / record["outputs"]["var_w0"] - 1) <= 0.03


def test_pcgrad_distribution(records: list[dict[str, Any]]) -> None:
    generator = torch.Generator().manual_seed(0)
    for record in of(records, "pcgrad_distribution"):
        jacobian = tensor(record["inputs"]["J"])
        tasks = len(jacobian)
        total, draws = torch.zeros_like(jacobian[0]), 2000
        for _ in range(draws):
            order = []
            for task in range(tasks):
                others = [other for other in range(tasks) if other != task]
                order.append([others[i] for i in torch.randperm(tasks - 1, generator=generator).tolist()])
            total += jacobian.T @ functional.pcgrad(jacobian @ jacobian.T, order)
        mean = tensor(record["outputs"]["mean_g_sum"])
        assert (total / draws - mean).norm() <= 0.05 * jacobian.norm()


def test_graddrop_distribution(records: list[dict[str, Any]]) -> None:
    generator = torch.Generator().manual_seed(0)
    for record in of(records, "graddrop_distribution"):
        jacobian, outputs = tensor(record["inputs"]["J"]), record["outputs"]
        draws = 4000
        uniforms = torch.rand(draws, jacobian.shape[1], dtype=torch.float64, generator=generator)
        directions = torch.stack([functional.graddrop(jacobian, row) for row in uniforms])
        error = (directions.mean(0) - tensor(outputs["mean_g"])).abs()
        assert (error <= 6 * (tensor(outputs["var_g"]) / draws).sqrt() + 1e-12).all()
        support = torch.stack([tensor(outputs["support_hi"]), tensor(outputs["support_lo"])])
        assert ((directions[:, None] - support).abs().amin(1) <= 1e-12).all()


def test_cdtt(more: list[dict[str, Any]]) -> None:
    for sequence, output in oracle(more, "cdtt"):
        state = functional.CDTTState.start(sequence["T"])
        inputs = sequence["inputs"]
        for step, (jacobian, losses) in enumerate(zip(tensor(inputs["J"]), tensor(inputs["losses"]), strict=True)):
            weights, state = functional.cdtt(jacobian @ jacobian.T, losses, state, output["hparams"]["alpha"])
            close(jacobian.T @ weights, output["g"][step], 1e-9)


def test_excess_mtl(more: list[dict[str, Any]]) -> None:
    for sequence, output in oracle(more, "excessmtl", "oracle:log-space recursion, first step no update"):
        jacobians = tensor(sequence["inputs"]["J"])
        state = functional.ExcessMTLState.start(jacobians[0])
        for step, jacobian in enumerate(jacobians):
            weights, state = functional.excess_mtl(jacobian, state, output["hparams"]["robust_step_size"])
            close(weights, output["weights"][step], 1e-12)


def test_modo(more: list[dict[str, Any]]) -> None:
    for sequence, output in oracle(more, "modo"):
        first, second, third = (tensor(sequence["inputs"][name]) for name in ("J1", "J2", "J3"))
        options = output["hparams"]
        weights = torch.full((sequence["T"],), 1 / sequence["T"], dtype=torch.float64)
        for step in range(len(first)):
            weights = functional.modo(first[step] @ second[step].T, weights, options["gamma"], options["rho"])
            close(weights, output["weights"][step], 1e-12)
            jacobian = third[step] if options["update"] == "J3" else (first[step] + second[step]) / 2
            close(jacobian.T @ weights, output["g"][step], 1e-12)


def test_fixed_weights(more: list[dict[str, Any]]) -> None:
    for sequence, output in oracle(more, "fixed_weights_recipe"):
        weights = functional.fixed_weights(tensor(sequence["inputs"]["step_weights"]), output["hparams"]["beta"])
        close(weights, output["weights"], 1e-14)
