"""Recorded sequences and aggregations, through `backward` on linear losses with these gradients."""

from typing import Any

import pytest
import torch
from torch import Tensor

import equipoise
from equipoise.balancing import all_methods, hyper_parameters
from equipoise.balancing.methods import gradvac

from ..conftest import Parity
from .problems import linear_step, weights_of


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture(scope="module")
def records(parity: Parity) -> list[dict[str, Any]]:
    return parity.read("sequences_dev")["records"]


@pytest.fixture(scope="module")
def more(parity: Parity) -> dict[str, Any]:
    return parity.read("more_dev")


@pytest.fixture(scope="module")
def cases(parity: Parity) -> list[dict[str, Any]]:
    return parity.read("aggregators_dev")["cases"]


def of(records: list[dict[str, Any]], method: str, *implementations: str) -> list[dict[str, Any]]:
    found = [
        record
        for record in records
        if record["method"] == method and any(name in record["impl"] for name in implementations or ("",))
    ]
    assert found
    return found


def close(found: Tensor, expected: Any, tolerance: float = 1e-10) -> None:
    expected = torch.as_tensor(expected, dtype=torch.float64)
    assert (found - expected).norm() <= tolerance * max(1e-9, expected.norm().item()), (found, expected)


def from_losses(balancer: equipoise.Balancer, losses: Tensor) -> Tensor:
    """Weights of a step with these losses."""
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    return weights_of(balancer.backward({f"task{i}": x.sum() + loss for i, loss in enumerate(losses)}))


def test_dwa(records):
    for record in of(records, "dwa"):
        for options in ({}, {"window": 1}):
            balancer = equipoise.create("dwa", temperature=record["hparams"]["temperature"], **options)
            for losses, expected in zip(
                tensor(record["inputs"]["epoch_losses"]), record["outputs"]["weights"], strict=True
            ):
                close(from_losses(balancer, losses), expected)
                balancer.end_epoch()


@pytest.mark.parametrize("name", ["uw", "imtl_l"])
def test_learnt_scales(records, name):
    for record in of(records, name):
        given = record["hparams"]
        options = {"optimizer": given["optimizer"].lower(), "learning_rate": given["lr"]}
        if name == "uw":
            options["initial"] = given["init"]
        balancer = equipoise.create(name, **options)
        for losses, expected in zip(
            tensor(record["inputs"]["losses"]), record["outputs"]["effective_weights"], strict=True
        ):
            close(from_losses(balancer, losses), expected)


def test_gradnorm(parity, records):
    compared = 0
    for record in of(records, "gradnorm", "VICO"):
        given, expected = record["hparams"], tensor(record["outputs"]["weights"])
        balancer = equipoise.create(
            "gradnorm", alpha=given["alpha"], optimizer=given["optimizer"].lower(), learning_rate=given["lr"]
        )
        for step, (losses, norms) in enumerate(
            zip(tensor(record["inputs"]["losses"]), tensor(record["inputs"]["grad_norms"]), strict=True)
        ):
            if (expected[: step + 1] < 2e-3).any():
                break  # the reference lets weights become negative, here they are kept above 0.001
            _, balance = linear_step(balancer, torch.diag(norms), losses)
            close(weights_of(balance), expected[step])
            compared += 1
    assert compared >= parity.at_least(51)


def test_dtp(records):
    for record in of(records, "dtp"):
        balancer = equipoise.create("dtp", rate=record["hparams"]["alpha"], focus=record["hparams"]["gamma"])
        for kpi, expected in zip(record["inputs"]["kpi"], record["outputs"]["weights"], strict=True):
            balancer.set_kpi({f"task{i}": value for i, value in enumerate(kpi)})
            close(from_losses(balancer, torch.ones(len(kpi), dtype=torch.float64)), expected)


def test_stch(records):
    for record in of(records, "stch", "LibMTL"):
        if "nadir" not in record["inputs"]:
            continue
        balancer = equipoise.create("stch", mu=record["hparams"]["mu"], warmup_epochs=1)
        nadir = tensor(record["inputs"]["nadir"])
        close(from_losses(balancer, nadir), 1 / nadir)
        balancer.end_epoch()
        for losses, expected in zip(
            tensor(record["inputs"]["losses"]), record["outputs"]["effective_weights"], strict=True
        ):
            close(from_losses(balancer, losses), expected)


def test_gradvac_of_two_tasks(records):
    compared = 0
    for record in of(records, "gradvac", "torchjd", "LibMTL"):
        if len(record["inputs"]["J"][0]) > 2:
            continue  # the reference visits tasks in a fixed order
        balancer = equipoise.create("gradvac", beta=record["hparams"]["beta"])
        for jacobian, expected in zip(tensor(record["inputs"]["J"]), record["outputs"]["g"], strict=True):
            close(linear_step(balancer, jacobian)[0], expected)
            compared += 1
    assert compared


def test_gradvac_of_more_tasks(records, monkeypatch):
    compared = 0
    for record in of(records, "gradvac", "torchjd", "LibMTL"):
        tasks = len(record["inputs"]["J"][0])
        in_turn = [[other for other in range(tasks) if other != task] for task in range(tasks)]
        # Only the draw is replaced: the reference visits tasks in this order.
        monkeypatch.setattr(gradvac, "random_orders", lambda state, *_, order=in_turn: (order, state))
        balancer = equipoise.create("gradvac", beta=record["hparams"]["beta"])
        for jacobian, expected in zip(tensor(record["inputs"]["J"]), record["outputs"]["g"], strict=True):
            close(linear_step(balancer, jacobian)[0], expected)
            compared += tasks > 2
    assert compared


def test_si(parity, cases, more):
    further = {case["id"]: case["outputs"] for case in more["cases"]}
    compared = 0
    for case in cases:
        for entry in further[case["id"]]:
            if entry["method"] != "si" or entry["impl"][:6] != "oracle" or entry["hparams"].get("reduction") == "mean":
                continue
            found, _ = linear_step(equipoise.create("si"), tensor(case["J"]), tensor(case["losses"]))
            close(found, tensor(entry["g"]), 1e-12)
            compared += 1
    assert compared >= parity.at_least(15)


def test_imtl_of_scaled_losses(parity, cases, more):
    further = {case["id"]: case["outputs"] for case in more["cases"]}
    compared = 0
    for case in cases:
        for entry in further[case["id"]]:
            if entry["method"] != "imtl_hybrid" or not entry["impl"].startswith("oracle") or entry["g"] is None:
                continue
            balancer = equipoise.create("imtl", optimizer="sgd", learning_rate=0.5)
            scales = tensor(entry["hparams"]["s"])
            values = {f"task{number}": scale for number, scale in enumerate(scales)}
            balancer.state = {"scales": {**balancer.state["scales"], "values": values}}
            found, _ = linear_step(balancer, tensor(case["J"]), tensor(case["losses"]))
            close(found, tensor(entry["g"]), 1e-6 if case["kind"] == "near_parallel" else 1e-9)
            learned = torch.stack(list(balancer.state["scales"]["values"].values()))
            torch.testing.assert_close(learned, scales - 0.5 * tensor(entry["grad_s"]), rtol=0, atol=1e-9)
            compared += 1
    assert compared >= parity.at_least(11)


def test_pcgrad_takes_every_order_equally_often(records):
    for record in of(records, "pcgrad_distribution"):
        jacobian, balancer = tensor(record["inputs"]["J"]), equipoise.create("pcgrad")
        steps = 300
        mean = sum(linear_step(balancer, jacobian)[0] for _ in range(steps)) / steps
        assert (mean - tensor(record["outputs"]["mean_g_sum"])).norm() <= 0.12 * jacobian.norm()


def test_graddrop_keeps_signs_with_their_probability(records):
    for record in of(records, "graddrop_distribution"):
        jacobian, outputs, balancer = tensor(record["inputs"]["J"]), record["outputs"], equipoise.create("graddrop")
        steps = 300
        found = torch.stack([linear_step(balancer, jacobian)[0] for _ in range(steps)])
        error = (found.mean(0) - tensor(outputs["mean_g"])).abs()
        assert (error <= 6 * (tensor(outputs["var_g"]) / steps).sqrt() + 1e-12).all()
        support = torch.stack([tensor(outputs["support_hi"]), tensor(outputs["support_lo"])])
        assert ((found[:, None] - support).abs().amin(1) <= 1e-12).all()


def test_rlw_has_the_moments_of_the_reference(records):
    for record in of(records, "rlw"):
        tasks, outputs, balancer = record["hparams"]["T"], record["outputs"], equipoise.create("rlw")
        steps = 600
        found = torch.stack([from_losses(balancer, torch.ones(tasks, dtype=torch.float64)) for _ in range(steps)])
        torch.testing.assert_close(found.sum(1), torch.ones(steps, dtype=torch.float64))
        assert (found.mean(0) - 1 / tasks).abs().max() <= 5 * (outputs["var_w0"] / steps) ** 0.5
        assert abs(float(found.var(0).mean()) / outputs["var_w0"] - 1) <= 0.25


def test_db_mtl(records):
    for record in of(records, "dbmtl"):
        given = record["hparams"]
        balancer = equipoise.create("db_mtl", beta=given["beta"], beta_decay=given["beta_sigma"])
        for jacobian, losses, expected in zip(
            tensor(record["inputs"]["J"]), tensor(record["inputs"]["losses"]), record["outputs"]["g"], strict=True
        ):
            close(linear_step(balancer, jacobian, losses)[0], expected)


def test_moco(records):
    for record in of(records, "moco", "heshandevaka"):
        given = record["hparams"]
        balancer = equipoise.create(
            "moco",
            beta=given["beta"],
            beta_decay=given["beta_sigma"],
            gamma=2 * given["gamma(delta)"],
            gamma_decay=given["gamma_sigma"],
            regularization=given["rho"],
        )
        for jacobian, expected in zip(tensor(record["inputs"]["J"]), record["outputs"]["g"], strict=True):
            close(linear_step(balancer, jacobian)[0], expected)


def test_nash_mtl_clips_and_holds(records):
    for record in of(records, "nashmtl", "authors"):
        max_norm, every = record["hparams"]["max_norm"], record["hparams"]["update_weights_every"]
        jacobians = tensor(record["inputs"]["J"])
        balancer = equipoise.create("nash_mtl", max_norm=max_norm or None, every=every)
        weights = torch.ones(0)
        for step, jacobian in enumerate(jacobians):
            found, balance = linear_step(balancer, jacobian)
            if step % every:
                # The authors clip the update of held weights anew; here the clipping is held, too.
                torch.testing.assert_close(weights_of(balance), weights)
                continue
            weights = weights_of(balance)
            expected = tensor(record["outputs"]["g"][step])
            raw = equipoise.functional.nash_mtl(jacobian @ jacobian.T)
            assert (raw * (jacobian @ (jacobian.T @ raw)) - 1).abs().max() < 1e-8
            assert found.norm() == pytest.approx(max_norm or len(jacobian) ** 0.5, rel=1e-8)
            if abs(float(expected.norm()) / float(found.norm()) - 1) < 1e-6:  # the authors' solver has converged
                assert (found - expected).norm() <= 1e-2 * expected.norm()


def test_cdtt(parity, more):
    compared = 0
    for sequence in more["sequences"]:
        for output in sequence["outputs"]:
            if sequence["method"] != "cdtt" or not output["impl"].startswith("oracle"):
                continue
            inputs, balancer = sequence["inputs"], equipoise.create("cdtt", sensitivity=output["hparams"]["alpha"])
            for jacobian, losses, expected in zip(
                tensor(inputs["J"]), tensor(inputs["losses"]), output["g"], strict=True
            ):
                close(linear_step(balancer, jacobian, losses)[0], expected, 1e-8)
                compared += 1
    assert compared >= parity.at_least(51)


def test_excess_mtl(parity, more):
    compared = 0
    for sequence in more["sequences"]:
        for output in sequence["outputs"]:
            if not output["impl"].startswith("oracle:log-space recursion, first step no update"):
                continue
            balancer = equipoise.create("excess_mtl", rate=output["hparams"]["robust_step_size"])
            for jacobian, expected in zip(tensor(sequence["inputs"]["J"]), output["weights"], strict=True):
                close(weights_of(linear_step(balancer, jacobian)[1]), expected)
                compared += 1
    assert compared >= parity.at_least(51)


# Method, how the vectors call it, hyper-parameters that give the oracle's convention, tolerance.
AGGREGATORS = [
    ("mgda", "mgda", {}, 1e-6),
    ("upgrad", "upgrad", {}, 1e-4),
    ("cagrad", "cagrad", {"rescale": 0}, 1e-4),
    ("nash_mtl", "nashmtl", {"max_norm": None}, 1e-6),
    ("fairgrad", "fairgrad", {"max_norm": None}, 1e-6),
    ("imtl_g", "imtl_g", {}, 1e-6),
    ("aligned_mtl", "aligned_mtl", {}, 1e-6),
    ("edm", "edm", {}, 1e-8),
    ("config", "config", {}, 1e-6),
    ("gls", "gls", {}, 1e-12),
]


@pytest.mark.parametrize(("name", "called", "options", "tolerance"), AGGREGATORS, ids=[row[0] for row in AGGREGATORS])
def test_aggregations(parity, cases, more, name, called, options, tolerance):
    known = hyper_parameters(all_methods()[name])
    further = {case["id"]: case["outputs"] for case in more["cases"]}
    compared = 0
    for case in cases:
        jacobian, losses = tensor(case["J"]), tensor(case["losses"])
        for entry in [*case["outputs"], *further[case["id"]]]:
            oracle = entry["method"] == called and entry["impl"].startswith("oracle")
            if not oracle or entry["g"] is None or entry.get("unique") is False:
                continue
            given = {key: value for key, value in entry["hparams"].items() if key in known}
            if ":normalised_g" in entry["impl"]:
                given["normalized_update"] = True
            elif given.get("normalization", "none") != "none" and case["props"]["rank"] < len(jacobian):
                continue  # several combinations of the divided gradients are shortest, each with its own raw one
            if "pref" in entry["hparams"] and name == "config":
                given["preference"] = {f"task{i}": value for i, value in enumerate(entry["hparams"]["pref"])}
            found, _ = linear_step(equipoise.create(name, **{**given, **options}), jacobian, losses)
            expected = tensor(entry["g"])
            nothing = float(expected.norm()) <= 1e-9 * float(jacobian.norm())
            scale = jacobian.norm(dim=1).max() if nothing else expected.norm()
            error = float((found - expected).norm() / scale)
            assert error <= tolerance, (case["id"], entry["hparams"], entry["impl"], error)
            compared += 1
    assert compared >= parity.at_least(15)
