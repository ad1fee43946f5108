"""Cases with a known answer: small networks that are really trained, under a probe; then records made by hand."""

import json
import math

import polars
import pytest
import torch
from rich.console import Console
from torch import nn
from typer.testing import CliRunner

import equipoise
from equipoise.cli import app
from equipoise.config import Recipe
from equipoise.diagnosis import Probe, Verdict, judge
from equipoise.diagnosis.store import frame, write
from equipoise.diagnosis.verdict.estimate import Blocks
from equipoise.diagnosis.verdict.evidence import gather
from equipoise.diagnosis.verdict.shares import actual, equal_norms, under
from equipoise.report.verdicts import tell
from equipoise.report.verdicts_on_console import verdict_on_console
from equipoise.studies import open_study, save_recipe
from equipoise.studies.diagnose import diagnose

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
    assert verdict.doubts == ()


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


# Records made by hand


def record(step, tasks, gram, losses=None, weights=None, coherence=None):
    matrix = torch.tensor(gram, dtype=torch.float64)
    factors = torch.ones(len(tasks), dtype=torch.float64) if weights is None else torch.tensor(weights).double()
    return {
        "step": step,
        "tasks": list(tasks),
        "losses": losses or [1.0] * len(tasks),
        "weights": weights,
        "gram": matrix.flatten().tolist(),
        "with_update": (matrix @ factors).tolist(),
        "update_square": float(factors @ matrix @ factors),
        "coherence": coherence,
    }


def test_numbers_follow_from_the_gram_matrix():
    weights = [1.0, 2.0]
    rows = [record(step, "ab", [[4.0, 1.0], [1.0, 9.0]], weights=weights) for step in range(1, 81)]
    verdict = judge(frame(rows), {"searched": {"a": 1.5}})
    first, second = verdict.tasks
    # Contributions of norms 2 and 6 with inner product 2: 4 + 2 and 36 + 2 of 44.
    assert (first.share, second.share) == pytest.approx((6 / 44, 38 / 44))
    assert first.shares["uniform"] == pytest.approx(5 / 15)
    assert first.shares["avgnorm"] == pytest.approx(0.5)
    assert first.shares["searched"] == pytest.approx((9 + 1.5) / (9 + 3 + 9))
    assert first.cosine == pytest.approx(1 / 6)
    assert (first.avgnorm_weight, second.avgnorm_weight) == pytest.approx((15**0.5 / 2, 15**0.5 / 3))
    assert (first.weight, first.fair) == (1.0, 0.5)
    assert verdict.dominating == ("b",)
    assert verdict.weights == {"a": 1.5, "b": 1.0}
    assert (verdict.first_step, verdict.last_step, verdict.recorded) == (41, 80, 80)
    assert verdict.to_frame().filter(task="a", weighting="this run")["share"].item() == pytest.approx(6 / 44)


def test_the_step_is_named_from_which_a_task_is_starved():
    balanced, starved = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1e-4]]
    rows = [record(step, "ab", balanced if step <= 30 else starved) for step in range(1, 101)]
    (finding,) = [finding for finding in judge(frame(rows)).findings if finding.kind == "starved"]
    assert (finding.tasks, finding.since) == (("b",), 31)


def test_a_task_may_be_undone_by_the_others():
    # Of equal norms and against both others, which agree.
    gram = [[1.0, 0.4, -0.6], [0.4, 1.0, -0.6], [-0.6, -0.6, 1.0]]
    verdict = judge(frame([record(step, "abc", gram) for step in range(1, 101)]))
    assert verdict.starved == ("c",)
    assert {finding.cause for finding in verdict.findings} <= {"conflict", "norms and conflict"}


def test_weights_that_do_too_little_leave_the_cause_to_norms():
    gram = torch.diag(torch.tensor([1.0, 1.0, 1e-4])).tolist()
    rows = [record(step, "abc", gram, weights=[1.0, 1.0, 5.0]) for step in range(1, 101)]
    (finding,) = judge(frame(rows)).findings
    assert (finding.tasks, finding.cause) == (("c",), "norms")
    # A gradient 100 times shorter, of five times the weight.
    assert "contribution, gradient times weight, is 20 times shorter than that of `a`" in finding.text


def test_a_conflict_is_no_matter_of_slightly_different_weights():
    gram = [[1.0, -0.9], [-0.9, 1.0]]
    rows = [record(step, "ab", gram, weights=[0.8, 1.2]) for step in range(1, 101)]
    verdict = judge(frame(rows))
    assert verdict.starved == ("a",)
    assert {finding.cause for finding in verdict.findings} == {"conflict"}


def test_of_conflicting_tasks_one_may_have_no_weight_to_speak_of():
    gram = [[1.0, -0.5], [-0.5, 1.0]]
    rows = [record(step, "ab", gram, weights=[0.01, 1.0]) for step in range(1, 101)]
    verdict = judge(frame(rows))
    assert (verdict.starved, verdict.cause) == (("a",), "weights")
    assert verdict.weights is None


def test_a_method_without_weights_may_be_the_cause_itself():
    orthogonal = torch.eye(3).tolist()
    # The update is the sum of two of three gradients.
    ignored = {"with_update": [1.0, 1.0, 0.0], "update_square": 2.0}
    verdict = judge(frame([record(step, "abc", orthogonal) | ignored for step in range(1, 101)]))
    (finding,) = verdict.findings
    assert (finding.tasks, finding.cause, verdict.cause) == (("c",), "method", "method")
    assert finding.text == (
        "`c` gets 0 % of the update, from the start; its fair share is 33 %. "
        "The cause is the method itself: in the plain sum of the gradients it would get 33 %."
    )


def test_a_method_without_weights_may_have_made_equal_what_was_not():
    gram = torch.diag(torch.tensor([1.0, 1.0, 1e-4], dtype=torch.float64))
    # Unit gradients, and something of the same length that is no gradient of the step.
    balanced = {"with_update": gram.diagonal().sqrt().tolist(), "update_square": 6.0}
    verdict = judge(frame([record(step, "abc", gram.tolist()) | balanced for step in range(1, 101)]))
    assert (verdict.starved, verdict.status) == ((), "balanced")
    assert [task.share for task in verdict.tasks] == pytest.approx([1 / 3] * 3)


def test_a_method_that_lengthens_short_gradients_is_not_said_to_starve_them():
    problem = Problem(seed=3)
    problem.scales = {"two": 0.01}
    assert problem.train(balancer="uniform").verdict().starved == ("two",)
    problem = Problem(seed=3)
    problem.scales = {"two": 0.01}
    assert problem.train(balancer="db_mtl").verdict().starved == ()


def test_what_the_plain_sum_has_too_is_not_the_method():
    gram = torch.diag(torch.tensor([1.0, 1.0, 1e-4])).tolist()
    verdict = judge(frame([record(step, "abc", gram) for step in range(1, 101)]))
    assert (verdict.starved, verdict.cause) == (("c",), "norms")


def test_too_few_steps_give_no_verdict():
    verdict = judge(frame([record(step, "ab", [[1.0, 0.0], [0.0, 1e-6]]) for step in range(1, 10)]))
    assert (verdict.status, verdict.cause, verdict.findings) == ("too few steps", None, ())
    assert "9 usable recorded steps are too few, 10 are needed" in verdict.summary
    assert judge(frame([])).status == "too few steps"


def test_a_verdict_from_few_steps_says_so():
    verdict = judge(frame([record(step, "ab", [[1.0, 0.0], [0.0, 1e-6]]) for step in range(1, 13)]))
    assert verdict.starved == ("b",)
    assert "Only 6 recorded steps were judged" in verdict.notes[0]


def test_steps_that_vary_too_much_give_no_verdict():
    # Long stretches in which one task or the other owns everything: a hundred steps are not a hundred observations.
    first, second = [[1.0, 0.0], [0.0, 1e-4]], [[1e-4, 0.0], [0.0, 1.0]]
    rows = [record(step, "ab", first if (step // 20) % 2 else second) for step in range(1, 101)]
    verdict = judge(frame(rows))
    assert (verdict.status, verdict.findings) == ("undecided", ())
    assert verdict.certainty < 0.95
    assert "vary too much" in verdict.summary


def test_blocks_keep_what_is_correlated_together():
    torch.manual_seed(0)
    independent = torch.randn(400).numpy()
    correlated = torch.randn(40).repeat_interleave(10).numpy()
    spread = [float(Blocks(400).mean(values).error) for values in (independent, correlated)]
    # As many steps, ten times fewer observations: three times the error. Single steps would show none of that.
    assert spread[1] > 1.5 * spread[0]


def test_a_single_task_has_nothing_to_balance():
    verdict = judge(frame([record(step, "a", [[1.0]]) for step in range(1, 101)]))
    assert verdict.status == "single task"
    assert "nothing to balance" in verdict.summary


def test_tasks_may_be_missing_and_numbers_not_finite():
    both, nan = [[1.0, 0.0], [0.0, 1.0]], math.nan
    rows = [record(step, "ab", both) if step % 2 else record(step, "b", [[1.0]]) for step in range(1, 161)]
    rows += [record(161, "ab", [[nan, 0.0], [0.0, 1.0]]), record(162, "ab", [[0.0, 0.0], [0.0, 0.0]])]
    verdict = judge(frame(rows))
    assert verdict.status == "balanced"
    first, second = verdict.tasks
    assert (first.present, first.share, first.fair) == pytest.approx((0.5, 0.5, 0.5))
    assert (second.share, second.fair) == pytest.approx((1.5 / 2 / 1.0, 0.75), abs=0.1)
    assert verdict.notes[0] == "`a` had a gradient in 50 % of the judged steps."
    assert "2 recorded steps were left out" in verdict.notes[1]


def test_a_task_without_any_gradient_is_told_of():
    verdict = judge(frame([record(step, "abc", [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 0]]) for step in range(1, 101)]))
    assert "`c` never had a gradient" in verdict.notes[0]
    assert verdict.tasks[2].share is None
    assert (verdict.status, verdict.certainty, verdict.doubts) == ("undecided", None, ())


@pytest.mark.parametrize("left", ["zero", "absent"])
def test_a_gradient_that_dies_is_no_balance(left):
    both, gone = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]]
    after = {"zero": ("ab", gone), "absent": ("a", [[1.0]])}[left]
    verdict = judge(frame([record(step, *(("ab", both) if step <= 40 else after)) for step in range(1, 101)]))
    assert (verdict.status, verdict.certainty) == ("undecided", None)
    assert verdict.summary.endswith("what `b` gets of the update cannot be told.")
    assert verdict.doubts == ("`b` has had no gradient since step 41.",)
    assert not any("`b`" in note for note in verdict.notes)
    assert tell(verdict).judged == "Judged: 50 recorded steps from 51 to 100."


def test_a_gradient_of_a_few_steps_in_a_row_tells_nothing():
    both, gone = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]]
    verdict = judge(frame([record(step, "ab", both if step <= 53 else gone) for step in range(1, 101)]))
    assert (verdict.status, verdict.doubts) == ("undecided", ())
    assert verdict.notes[0] == "`b` had a gradient in 6 % of the judged steps."


def test_weights_and_updates_may_be_zero():
    conflict = [[1.0, -0.9], [-0.9, 1.0]]
    verdict = judge(frame([record(step, "ab", conflict, weights=[0.0, 0.0]) for step in range(1, 101)]))
    (finding,) = verdict.findings
    assert finding.kind == "conflict"
    assert "is left in the update" not in finding.text
    orthogonal = [[1.0, 0.0], [0.0, 1.0]]
    verdict = judge(frame([record(step, "ab", orthogonal, weights=[0.0, 0.0]) for step in range(1, 101)]))
    assert (verdict.status, verdict.certainty) == ("undecided", None)


def test_the_square_of_an_update_may_be_below_zero_by_rounding():
    rows = [record(step, "ab", [[1.0, -1.0], [-1.0, 1.0]]) | {"update_square": -1e-18} for step in range(1, 101)]
    assert (gather(frame(rows)).update_square == 0).all()
    verdict = judge(frame(rows))
    assert (verdict.cause, verdict.survives) == ("conflict", 0.0)


def test_methods_without_weights_are_told_of():
    rows = [record(step, "ab", [[1.0, 0.0], [0.0, 1.0]]) for step in range(1, 101)]
    assert "gives no weights" in judge(frame(rows)).notes[-1]


def test_numbers_of_an_estimate_are_those_of_student():
    torch.manual_seed(0)
    values = torch.randn(10).double().numpy()
    estimate = Blocks(10).mean(values)
    # Blocks of one step: the jackknife's error is that of a mean.
    assert estimate.error == pytest.approx(values.std(ddof=1) / math.sqrt(10))
    low, high = estimate.interval()
    assert estimate.above(low) == pytest.approx(0.975)
    assert estimate.below(high) == pytest.approx(0.975)


def test_shares_sum_to_one():
    torch.manual_seed(0)
    rows = []
    for step in range(1, 61):
        gradients = torch.randn(3, 8, dtype=torch.float64)
        rows.append(record(step, "abc", (gradients @ gradients.T).tolist(), weights=[0.2, 1.0, 3.0]))
    evidence = gather(frame(rows))
    for shares in (actual(evidence), under(evidence, equal_norms(evidence)), under(evidence, torch.ones(3).numpy())):
        assert shares.mean().sum() == pytest.approx(1)


# As JSON, on a terminal, from directories


@pytest.fixture
def starved() -> polars.DataFrame:
    return frame([record(step, ["seg", "[edge]"], [[1.0, 0.0], [0.0, 1e-4]]) for step in range(1, 101)])


def test_json_holds_all_of_it(starved):
    verdict = judge(starved)
    assert Verdict.model_validate(json.loads(verdict.model_dump_json())) == verdict


def test_a_terminal_shows_every_task(starved):
    console = Console(width=120, record=True)
    console.print(verdict_on_console(judge(starved)))
    text = console.export_text()
    for part in ("[edge]: starved", "100 times shorter", "from the start", "weights: {seg: 1, [edge]: 100}"):
        assert part in text


def test_words_and_table_are_the_same_for_terminal_and_page(starved):
    told = tell(judge(starved, {"searched": {"[edge]": 100.0}}))
    assert told.weightings == ("uniform", "avgnorm", "searched", "suggested")
    assert told.tasks[1].others == ("0.01%", "50%", "50%", "50%")
    assert (told.tasks[1].state, told.tasks[0].fine) == ("starved", False)
    assert told.findings[0].sure == "over 99 %"


def test_the_command_tells_draws_and_answers_in_json(starved, tmp_path):
    (tmp_path / "run").mkdir()
    write(starved, tmp_path / "run" / "probe.parquet")
    picture = tmp_path / "verdict.png"
    told = CliRunner().invoke(app, ["diagnose", str(tmp_path / "run"), "--figure", str(picture)])
    assert told.exit_code == 0
    assert "is starved" in told.output
    assert picture.stat().st_size > 10_000
    answer = CliRunner().invoke(
        app, ["diagnose", str(tmp_path / "run" / "probe.parquet"), "--json", "--weight", "seg=2"]
    )
    verdict = Verdict.model_validate(json.loads(answer.output))
    assert verdict.starved == ("[edge]",)
    assert verdict.tasks[1].shares["given"] < verdict.tasks[1].shares["uniform"]


def test_a_study_has_a_row_a_method_and_reads_unfinished_runs(starved, tmp_path):
    content = {
        "name": "little",
        "data": {"name": "rooms", "root": str(tmp_path / "rooms")},
        "tasks": ["seg", "edge"],
        "training": {"epochs": 1},
        "balancers": [{"name": "uniform"}, {"name": "avgnorm"}],
        "seeds": [0],
    }
    study = tmp_path / "little"
    save_recipe(Recipe.model_validate(content), study)
    uniform, avgnorm = [run for run in open_study(study).planned if run.needs]
    for run in (uniform, avgnorm):
        run.directory(tmp_path).mkdir(parents=True)
    rows = [record(step, ["seg", "edge"], [[1.0, 0.0], [0.0, 1e-4]]) for step in range(1, 101)]
    write(frame(rows), uniform.directory(tmp_path) / "probe.parquet")
    (avgnorm.directory(tmp_path) / "probe.parquet").write_text("damaged")
    found = diagnose(study)
    assert [(method.balancer, method.runs, method.starved) for method in found.methods] == [
        ("uniform", 1, {"edge": 1}),
        ("avgnorm", 0, {}),
    ]
    assert "should be a file that a probe has written" in found.runs[1].missing
    told = CliRunner().invoke(app, ["diagnose", str(study), "--figure", str(tmp_path / "study.png")])
    assert told.exit_code == 0
    assert "`edge` is starved." in told.output
    assert (tmp_path / "study.png").exists()


@pytest.mark.parametrize("name", ["nowhere", "empty", "file.txt", "hollow.parquet", "silent"])
def test_what_cannot_be_judged_is_one_message(name, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("no records")
    (tmp_path / "hollow.parquet").touch()
    (tmp_path / "silent").mkdir()
    (tmp_path / "silent" / "config.yaml").touch()
    with pytest.raises(ValueError, match=r"should be") as caught:
        diagnose(tmp_path / name)
    assert name in str(caught.value)
    if name == "silent":
        assert "training.probe.every: 10" in str(caught.value)
