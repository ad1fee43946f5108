"""Cases with a known answer: small networks that are really trained, under a probe."""

import pytest
import torch
from torch import nn

import equipoise
from equipoise.diagnosis import Probe

SAMPLES, INPUTS, WIDTH, BATCH = 512, 16, 24, 32


class Problem:
    """Three regressions on the same inputs, of the same kind and scale, for a trunk of two layers and a head each."""

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(1000 + seed)
        self.seed = seed
        self.inputs = torch.randn(SAMPLES, INPUTS, generator=self.random)
        self.labels = {task: self.regression() for task in ("one", "two", "three")}
        self.scales: dict[str, float] = {}
        self.one_head = False

    def regression(self):
        mixed = self.inputs @ torch.randn(INPUTS, INPUTS, generator=self.random) / 4
        labels = mixed.tanh() @ torch.randn(INPUTS, generator=self.random)
        return (labels - labels.mean()) / labels.std()

    def train(self, *, steps: int = 100, balancer: str = "uniform", **options) -> Probe:
        torch.manual_seed(self.seed)
        trunk = nn.Sequential(nn.Linear(INPUTS, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU())
        heads = nn.ModuleDict({task: nn.Linear(WIDTH, 1) for task in self.labels})
        if self.one_head:
            heads = nn.ModuleDict(dict.fromkeys(self.labels, heads["one"]))
        optimizer = torch.optim.SGD([*trunk.parameters(), *heads.parameters()], 0.05, momentum=0.9)
        balancing, probe = equipoise.create(balancer, **options), Probe(every=1)
        for _ in range(steps):
            chosen = torch.randint(SAMPLES, (BATCH,), generator=self.random)
            optimizer.zero_grad()
            features = trunk(self.inputs[chosen])
            losses = {
                task: (heads[task](features)[:, 0] - labels[chosen]).square().mean() * self.scales.get(task, 1.0)
                for task, labels in self.labels.items()
            }
            balancing.backward(losses, features=features, last_layer=trunk[2], probe=probe)
            optimizer.step()
        return probe


SEEDS = range(200, 205)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_task_of_a_small_loss_is_starved_by_norms(seed):
    problem = Problem(seed)
    problem.scales["two"] = 0.01
    verdict = problem.train().verdict()
    assert (verdict.status, verdict.cause, verdict.starved) == ("unbalanced", "norms", ("two",))
    assert verdict.findings[0].since == 1
    assert verdict.findings[0].certainty > 0.99
    assert verdict.weights is not None
    # The loss is a hundredth of the others, its gradient more so than not.
    assert 10 < verdict.weights["two"] / max(verdict.weights["one"], verdict.weights["three"]) < 1000
    task = verdict.tasks[1]
    assert task.share < 0.01
    assert task.shares["avgnorm"] > 0.2
    assert task.shares["suggested"] > 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_opposite_labels_are_a_conflict(seed):
    problem = Problem(seed)
    # Heads of their own would turn the sign, and there would be no conflict: these share theirs.
    problem.labels = {"one": problem.labels["one"], "two": -problem.labels["one"]}
    problem.one_head = True
    verdict = problem.train().verdict()
    assert (verdict.status, verdict.cause, verdict.findings[0].tasks) == ("unbalanced", "conflict", ("one", "two"))
    assert verdict.findings[0].numbers["cosine"] < -0.9
    assert verdict.survives < 0.2 < verdict.survives_orthogonal
    assert verdict.weights is None


@pytest.mark.parametrize("seed", SEEDS)
def test_copies_of_a_task_are_named(seed):
    problem = Problem(seed)
    problem.labels["copy"] = problem.labels["two"]
    verdict = problem.train().verdict()
    assert (verdict.status, verdict.cause) == ("unbalanced", "duplicates")
    first = verdict.findings[0]
    assert (first.kind, first.tasks) == ("duplicates", ("two", "copy"))
    assert first.numbers["fair"] == pytest.approx(1 / 3)
    # With the suggested weights both together have about what one task should have.
    assert 0.2 < sum(task.shares["suggested"] for task in verdict.tasks if task.task in first.tasks) < 0.45


def test_opposite_labels_of_heads_of_their_own_are_copies():
    problem = Problem(200)
    problem.labels["two"] = -problem.labels["one"]
    verdict = problem.train().verdict()
    assert (verdict.cause, verdict.findings[0].tasks) == ("duplicates", ("one", "two"))


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_found_where_tasks_are_balanced(seed):
    verdict = Problem(seed).train().verdict()
    assert (verdict.status, verdict.cause, verdict.findings, verdict.weights) == ("balanced", None, (), None)
    assert verdict.unconfirmed == ()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_task_of_noisy_labels_is_named(seed):
    problem = Problem(seed)
    problem.labels["two"] = problem.labels["two"] + 3 * torch.randn(SAMPLES, generator=problem.random)
    verdict = problem.train().verdict()
    assert (verdict.status, verdict.cause) == ("unbalanced", "noise")
    assert (verdict.findings[0].kind, verdict.findings[0].tasks) == ("noise", ("two",))
    # What others suffer from it is put down to it.
    assert {finding.cause for finding in verdict.findings} == {"noise"}
    assert verdict.weights is None


@pytest.mark.parametrize("seed", SEEDS)
def test_a_task_of_a_small_weight_is_starved_by_weights(seed):
    verdict = Problem(seed).train(balancer="fixed", weights={"one": 1.0, "two": 0.01, "three": 1.0}).verdict()
    assert (verdict.status, verdict.cause, verdict.starved) == ("unbalanced", "weights", ("two",))
    first = verdict.findings[0]
    assert (first.numbers["weight"], first.numbers["others_weight"]) == pytest.approx((0.01, 1.0))
    assert first.numbers["without_cause"] == pytest.approx(verdict.tasks[1].shares["uniform"])
    assert "a weight of 0.01 (median of the others: 1); with uniform weights it would get" in first.text
    assert verdict.weights is not None


@pytest.mark.parametrize("seed", SEEDS)
def test_a_task_of_a_large_weight_dominates_by_weights_and_is_no_noise(seed):
    problem = Problem(seed)
    # Of noisy labels, but so small a loss that only its weight lets it dominate.
    problem.labels["two"] = problem.labels["two"] + 3 * torch.randn(SAMPLES, generator=problem.random)
    problem.scales["two"] = 0.01
    verdict = problem.train(balancer="fixed", weights={"one": 1.0, "two": 100.0, "three": 1.0}).verdict()
    assert (verdict.status, verdict.cause) == ("unbalanced", "weights")
    assert {finding.cause for finding in verdict.findings} == {"weights"}
    assert "leads nowhere" not in verdict.text


def test_avgnorm_ends_what_norms_have_begun():
    problem = Problem(200)
    problem.scales["two"] = 0.01
    verdict = problem.train(balancer="avgnorm").verdict()
    assert "two" not in verdict.starved
    assert verdict.tasks[1].shares["uniform"] < 0.01


def test_a_method_that_lengthens_short_gradients_is_not_said_to_starve_them():
    problem = Problem(seed=3)
    problem.scales = {"two": 0.01}
    assert problem.train(balancer="uniform").verdict().starved == ("two",)
    problem = Problem(seed=3)
    problem.scales = {"two": 0.01}
    assert problem.train(balancer="db_mtl").verdict().starved == ()
