import math
import subprocess
import sys

import polars
import pytest
import torch
from torch import nn

import equipoise
from equipoise.diagnosis import Probe, by_pair, by_step, by_task, read

TASKS = ("a", "b", "c")


class Network(nn.Module):
    """A trunk of two layers and a head a task, with losses of very different scales."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(5, 8).double(), nn.Linear(8, 6).double()
        self.heads = nn.ModuleDict({task: nn.Linear(6, 1).double() for task in TASKS})
        self.inputs = torch.randn(16, 5, dtype=torch.float64)

    def encode(self):
        return self.last(self.first(self.inputs).tanh()).tanh()

    def losses(self, features):
        return {
            task: (head(features) - number).square().mean() * 10.0 ** (number - 1)
            for number, (task, head) in enumerate(self.heads.items())
        }

    def trunk(self):
        return [*self.first.parameters(), *self.last.parameters()]


def gradients(network, place):
    """Task gradients, [T, P], by a backward pass of its own for each."""
    features = network.encode()
    at = {"last_layer": list(network.last.parameters()), "features": [features], "shared": network.trunk()}[place]
    losses = network.losses(features)
    return torch.stack(
        [
            torch.cat([part.flatten() for part in torch.autograd.grad(loss, at, retain_graph=True)])
            for loss in losses.values()
        ]
    )


def check(recorded, rows, weights, update):
    row = recorded.row(-1, named=True)
    gram = rows @ rows.T
    torch.testing.assert_close(torch.tensor(row["gram"], dtype=torch.float64).view(3, 3), gram)
    torch.testing.assert_close(torch.tensor(row["with_update"], dtype=torch.float64), rows @ update)
    assert row["update_square"] == pytest.approx((update @ update).item())
    if weights is None:
        assert row["weights"] is None
    else:
        assert row["weights"] == pytest.approx([float(weights[task]) for task in TASKS])


@pytest.mark.parametrize("place", ["last_layer", "features", "shared"])
@pytest.mark.parametrize("name", ["uniform", "avgnorm", "gradnorm", "mgda", "pcgrad", "graddrop", "nash_mtl", "uw"])
def test_a_balancer_shows_the_gradients_and_the_update_that_it_makes(name, place):
    network = Network()
    rows = gradients(network, place)
    balancer, probe = equipoise.create(name), Probe(every=1, at=place)
    features = network.encode()
    balance = balancer.backward(network.losses(features), features=features, last_layer=network.last, probe=probe)
    weights = balance.weights
    if place == "features":
        update = rows.T @ (torch.stack([weights[task] for task in TASKS]) if weights else torch.ones(3)).to(rows)
    else:
        parameters = network.last.parameters() if place == "last_layer" else network.trunk()
        update = torch.cat([parameter.grad.flatten() for parameter in parameters])
    check(probe.recorded(), rows, weights, update)


def test_looking_changes_nothing():
    found = []
    for probe in (None, Probe(every=1), Probe(every=1, at="features"), Probe(every=1, at="shared")):
        network, balancer = Network(), equipoise.create("cagrad")
        features = network.encode()
        balancer.backward(network.losses(features), features=features, last_layer=network.last, probe=probe)
        found.append([parameter.grad for parameter in network.parameters()])
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


@pytest.mark.parametrize("place", ["last_layer", "features", "shared"])
def test_any_loop_can_be_looked_at(place):
    network, probe = Network(), Probe(every=1, at=place)
    rows = gradients(network, place)
    features = network.encode()
    losses = network.losses(features)
    network.last.weight.grad = torch.ones_like(network.last.weight)
    with probe.step(losses, features=features, last_layer=network.last):
        sum(losses.values()).backward()
    check(probe.recorded(), rows, None, rows.sum(0))
    with (
        probe.step(network.losses(network.encode()), features=None, last_layer=network.last)
        if place != "features"
        else (probe.step(losses := network.losses(features := network.encode()), features=features)) as step
    ):
        balancer = equipoise.AvgNorm()
        features = network.encode()
        step.balance = balancer.backward(network.losses(features), features=features, last_layer=network.last)
    assert probe.recorded()["weights"].to_list()[1] is not None


def test_shares_and_cosines_are_those_of_the_update():
    network, probe = Network(), Probe(every=1)
    rows = gradients(network, "last_layer")
    features = network.encode()
    equipoise.AvgNorm().backward(network.losses(features), features=features, last_layer=network.last, probe=probe)
    tasks = by_task(probe.recorded())
    assert tasks["share"].sum() == pytest.approx(1)
    # AvgNorm: every contribution is as long as the sum of the raw gradients.
    assert tasks["weighted_norm"].to_list() == pytest.approx([rows.sum(0).norm().item()] * 3)
    unit = nn.functional.normalize(rows)
    update = unit.sum(0)
    expected = (unit @ update / update.norm()).tolist()
    assert tasks["cosine_with_update"].to_list() == pytest.approx(expected)
    pairs = by_pair(probe.recorded())
    assert pairs.select("first", "second").rows() == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs["cosine"].to_list() == pytest.approx([float(unit[i] @ unit[j]) for i, j in ((0, 1), (0, 2), (1, 2))])
    assert pairs["dot"].to_list() == pytest.approx([float(rows[i] @ rows[j]) for i, j in ((0, 1), (0, 2), (1, 2))])
    step = by_step(probe.recorded()).row(0, named=True)
    assert step["singular_values"] == pytest.approx(torch.linalg.svdvals(rows).tolist())
    assert step["condition_number"] == pytest.approx(float(torch.linalg.cond(rows)))
    mean_cosine = nn.functional.cosine_similarity(rows, rows.mean(0, keepdim=True)).mean().item()
    assert step["cosine_with_mean"] == pytest.approx(mean_cosine)
    assert step["orthogonal"] * step["norm_balance"] * step["alignment"] == pytest.approx(mean_cosine)


def test_orthogonal_gradients_have_the_reference_cosine():
    probe = Probe(every=1)
    weight = torch.zeros(4, requires_grad=True, dtype=torch.float64)
    with probe.step({str(i): weight[i] for i in range(4)}, last_layer=weight):
        weight.sum().backward()
    step = by_step(probe.recorded()).row(0, named=True)
    assert step["cosine_with_mean"] == pytest.approx(0.5)
    assert step["norm_balance"] == pytest.approx(1)
    assert step["alignment"] == pytest.approx(1)
    assert step["conflict_rate"] == 0


def test_a_task_may_be_absent_and_a_gradient_zero():
    probe = Probe(every=1)
    weight = torch.ones(2, requires_grad=True, dtype=torch.float64)
    with probe.step({"a": weight[0], "b": weight[1] * 0}, last_layer=weight):
        weight[0].backward()
    with probe.step({"b": weight[1]}, last_layer=weight):
        weight[1].backward()
    tasks = by_task(probe.recorded())
    assert tasks.select("step", "task").rows() == [(1, "a"), (1, "b"), (2, "b")]
    assert tasks["norm"].to_list() == [1.0, 0.0, 1.0]
    assert tasks["cosine_with_update"].is_nan().to_list() == [False, True, False]
    assert by_step(probe.recorded())["conflict_rate"].to_list() == [0.0, None]


def test_the_matrix_of_gradients_is_of_those_that_are_not_zero():
    probe = Probe(every=1)
    weight = torch.ones(3, requires_grad=True, dtype=torch.float64)
    losses = {"a": 3 * weight[0], "b": weight[1], "c": weight[2] * 0}
    with probe.step(losses, last_layer=weight):
        sum(losses.values()).backward()
    step = by_step(probe.recorded()).row(0, named=True)
    assert step["singular_values"] == pytest.approx([3.0, 1.0])
    assert step["condition_number"] == pytest.approx(3)


def test_collinear_gradients_have_no_condition_number():
    network, probe = Network(), Probe(every=1)
    features = network.encode()
    loss = network.losses(features)["b"]
    losses = {"a": loss, "b": loss / 3, "c": loss / 7}
    with probe.step(losses, features=features, last_layer=network.last):
        sum(losses.values()).backward()
    step = by_step(probe.recorded()).row(0, named=True)
    assert step["singular_values"][1:] == [0.0, 0.0]
    assert math.isnan(step["condition_number"])


def test_no_gradient_at_all_has_no_condition_number():
    probe = Probe(every=1)
    weight = torch.ones(2, requires_grad=True, dtype=torch.float64)
    losses = {"a": weight[0] * 0, "b": weight[1] * 0}
    with probe.step(losses, last_layer=weight):
        sum(losses.values()).backward()
    step = by_step(probe.recorded()).row(0, named=True)
    assert step["singular_values"] == []
    assert math.isnan(step["condition_number"])


def test_a_method_without_weights_has_no_weighted_norms():
    network, probe = Network(), Probe(every=1)
    features = network.encode()
    balancer = equipoise.create("graddrop")
    balancer.backward(network.losses(features), features=features, last_layer=network.last, probe=probe)
    tasks = by_task(probe.recorded())
    assert tasks["norm"].null_count() == 0
    assert tasks.select("weight", "weighted_norm").null_count().row(0) == (3, 3)


def train(probe, steps, network=None):
    network = network or Network()
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        features = network.encode()
        equipoise.AvgNorm().backward(network.losses(features), features=features, last_layer=network.last, probe=probe)
        optimizer.step()
    return network


def test_every_counts_steps():
    probe = Probe(every=3)
    train(probe, 8)
    assert probe.recorded()["step"].to_list() == [1, 4, 7]


def test_what_was_recorded_survives_and_is_gone_on_with(tmp_path):
    path = tmp_path / "probe.parquet"
    whole = Probe(every=2, path=path)
    network = train(whole, 4)
    state = whole.state_dict()
    train(whole, 1, network)
    whole.flush()
    train(whole, 2, network)
    # Killed: the last two steps were not written. They are made again after a checkpoint at step 4.
    assert read(path)["step"].to_list() == [1, 3, 5]
    again = Probe(every=2, path=path)
    again.load_state_dict(state)
    train(again, 4)
    again.flush()
    assert read(path)["step"].to_list() == [1, 3, 5, 7]
    assert [entry.name for entry in tmp_path.iterdir()] == ["probe.parquet"]


def test_a_step_that_is_refused_is_not_recorded():
    network, probe = Network(), Probe(every=1)
    features = network.encode()
    losses = network.losses(features)
    losses["a"] = losses["a"] * float("nan")
    balancer = equipoise.create("avgnorm", nonfinite="skip")
    assert balancer.backward(losses, features=features, last_layer=network.last, probe=probe).skipped
    assert probe.recorded().is_empty()
    assert probe.steps == 1


@pytest.mark.parametrize(("arguments", "message"), [({"every": 0}, "every = 0"), ({"at": "middle"}, "at = 'middle'")])
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Probe(**arguments)


def test_a_missing_layer_is_named():
    network = Network()
    with pytest.raises(ValueError, match="the probe measures gradients there"):
        equipoise.create("uniform").backward(network.losses(network.encode()), probe=Probe())


@pytest.mark.parametrize("place", ["last_layer", "features", "shared"])
def test_only_gradients_of_parameters_are_compared_with_those_of_the_step_before(place):
    probe = Probe(every=1, at=place)
    train(probe, 2)
    first, second = probe.recorded()["coherence"].to_list()
    if place == "features":
        assert (first, second) == (None, None)
    else:
        assert all(math.isnan(cosine) for cosine in first)
        assert all(abs(cosine) <= 1 + 1e-9 for cosine in second)


def test_other_files_are_refused(tmp_path):
    polars.DataFrame({"a": [1]}).write_parquet(tmp_path / "other.parquet")
    for name in ("other.parquet", "missing.parquet"):
        with pytest.raises(ValueError, match="a file that a probe has written"):
            read(tmp_path / name)


WITHOUT_LABORATORY = """
import importlib.abc, sys

MISSING = {"polars", "numpy", "matplotlib", "scipy", "pydantic", "torchmetrics", "timm"}

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
import equipoise

assert hasattr(equipoise, "Probe") and hasattr(equipoise.diagnosis, "Probe")
assert not hasattr(equipoise.diagnosis, "Prob")
try:
    equipoise.Probe(every=5)
except ImportError as error:
    print(error)
"""


def test_without_the_laboratory_a_probe_is_imported_and_says_what_it_needs():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT_LABORATORY], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("`equipoise.Probe` needs the package `polars`. Install it: pip install 'equipoise[lab]'.\n")


def test_a_damaged_file_loses_the_records_and_nothing_else(tmp_path):
    path = tmp_path / "probe.parquet"
    probe = Probe(every=2, path=path)
    network = train(probe, 4)
    probe.flush()
    path.write_bytes(b"PAR1")
    again = Probe(every=2, path=path)
    with pytest.raises(ValueError, match="a file that a probe has written"):
        again.load_state_dict(probe.state_dict())
    train(again, 2, network)
    again.flush()
    assert read(path)["step"].to_list() == [5]
    # The gradient of the step before is in the state, not in the file.
    assert not math.isnan(read(path)["coherence"].to_list()[0][0])
