"""Verdicts on records made by hand, with a known answer."""

import math

import pytest
import torch

from equipoise.diagnosis import judge
from equipoise.diagnosis.store import records_frame
from equipoise.diagnosis.verdict.measures import Blocks, actual_shares, equal_norm_weights, gather, shares_under
from equipoise.report.verdict_text import verdict_text

from .records import record


def test_numbers_follow_from_the_gram_matrix():
    weights = [1.0, 2.0]
    rows = [record(step, "ab", [[4.0, 1.0], [1.0, 9.0]], weights=weights) for step in range(1, 81)]
    verdict = judge(records_frame(rows), {"searched": {"a": 1.5}})
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
    (finding,) = [finding for finding in judge(records_frame(rows)).findings if finding.kind == "starved"]
    assert (finding.tasks, finding.since) == (("b",), 31)


@pytest.mark.parametrize(
    ("starved_in", "since"),
    [((range(1, 11), range(51, 101)), 51), ((range(1, 76), range(81, 101)), 1), ((range(21, 51),), None)],
)
def test_a_finding_holds_since_nearly_all_later_blocks_agree(starved_in, since):
    balanced, starved = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1e-4]]
    steps = {step for part in starved_in for step in part}
    rows = [record(step, "ab", starved if step in steps else balanced) for step in range(1, 101)]
    found = [finding.since for finding in judge(records_frame(rows)).findings if finding.kind == "starved"]
    assert found == ([] if since is None else [since])


def test_a_task_may_be_undone_by_the_others():
    # Of equal norms and against both others, which agree.
    gram = [[1.0, 0.4, -0.6], [0.4, 1.0, -0.6], [-0.6, -0.6, 1.0]]
    verdict = judge(records_frame([record(step, "abc", gram) for step in range(1, 101)]))
    assert verdict.starved == ("c",)
    assert {finding.cause for finding in verdict.findings} <= {"conflict", "norms and conflict"}


def test_a_task_that_another_cancels_is_not_called_noisy():
    # The first task has all signs of noise: a large share, gradients that change, a loss that stays.
    def rows(cosine):
        gram = [[9.0, 3 * cosine], [3 * cosine, 1.0]]
        return [record(step, "ab", gram, losses=[1.0, 1.0 / step], coherence=[0.0, 0.9]) for step in range(1, 101)]

    assert judge(records_frame(rows(0.0))).cause == "noise"
    verdict = judge(records_frame(rows(-0.5)))
    assert {finding.kind for finding in verdict.findings} == {"starved", "dominating", "conflict"}
    assert "noise" not in {finding.cause for finding in verdict.findings}
    assert "noisy" not in verdict.text


@pytest.mark.parametrize(
    ("own", "other", "noisy"),
    [((0.9, 0.1), (0.5, 0.05), True), ((0.9, 0.1), (0.85, 0.05), False), ((0.9, 0.6), (0.5, 0.5), False)],
    ids=["noise", "the other hardly learns either", "coherent gradients"],
)
def test_a_noisy_task_has_incoherent_gradients_and_learns_half_as_much_at_most(own, other, noisy):
    # Of both tasks: what is left of the loss, and the coherence.
    left, coherence = zip(own, other, strict=True)
    rows = [
        record(
            step,
            "ab",
            [[9.0, 0.0], [0.0, 1.0]],
            losses=[1.0, 1.0] if step <= 10 else list(left),
            coherence=list(coherence),
        )
        for step in range(1, 101)
    ]
    assert (judge(records_frame(rows)).cause == "noise") == noisy


def test_weights_that_do_too_little_leave_the_cause_to_norms():
    gram = torch.diag(torch.tensor([1.0, 1.0, 1e-4])).tolist()
    rows = [record(step, "abc", gram, weights=[1.0, 1.0, 5.0]) for step in range(1, 101)]
    (finding,) = judge(records_frame(rows)).findings
    assert (finding.tasks, finding.cause) == (("c",), "norms")
    # A gradient 100 times shorter, of five times the weight.
    assert "contribution (gradient times weight) is 20 times shorter than that of `a`" in finding.text


def test_a_conflict_is_no_matter_of_slightly_different_weights():
    gram = [[1.0, -0.9], [-0.9, 1.0]]
    rows = [record(step, "ab", gram, weights=[0.8, 1.2]) for step in range(1, 101)]
    verdict = judge(records_frame(rows))
    assert verdict.starved == ("a",)
    assert {finding.cause for finding in verdict.findings} == {"conflict"}


def test_of_conflicting_tasks_one_may_have_no_weight_to_speak_of():
    gram = [[1.0, -0.5], [-0.5, 1.0]]
    rows = [record(step, "ab", gram, weights=[0.01, 1.0]) for step in range(1, 101)]
    verdict = judge(records_frame(rows))
    assert (verdict.starved, verdict.cause) == (("a",), "weights")
    assert verdict.weights is None


def test_a_method_without_weights_may_be_the_cause_itself():
    orthogonal = torch.eye(3).tolist()
    # The update is the sum of two of three gradients.
    ignored = {"with_update": [1.0, 1.0, 0.0], "update_square": 2.0}
    verdict = judge(records_frame([record(step, "abc", orthogonal) | ignored for step in range(1, 101)]))
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
    verdict = judge(records_frame([record(step, "abc", gram.tolist()) | balanced for step in range(1, 101)]))
    assert (verdict.starved, verdict.status) == ((), "balanced")
    assert [task.share for task in verdict.tasks] == pytest.approx([1 / 3] * 3)


def test_what_the_plain_sum_has_too_is_not_the_method():
    gram = torch.diag(torch.tensor([1.0, 1.0, 1e-4])).tolist()
    verdict = judge(records_frame([record(step, "abc", gram) for step in range(1, 101)]))
    assert (verdict.starved, verdict.cause) == (("c",), "norms")


def test_too_few_steps_give_no_verdict():
    verdict = judge(records_frame([record(step, "ab", [[1.0, 0.0], [0.0, 1e-6]]) for step in range(1, 10)]))
    assert (verdict.status, verdict.cause, verdict.findings) == ("too few steps", None, ())
    assert "9 usable recorded steps are too few, 10 are needed" in verdict.summary
    assert judge(records_frame([])).status == "too few steps"


def test_a_verdict_from_few_steps_says_so():
    verdict = judge(records_frame([record(step, "ab", [[1.0, 0.0], [0.0, 1e-6]]) for step in range(1, 13)]))
    assert verdict.starved == ("b",)
    assert "Only 6 recorded steps were analysed" in verdict.notes[0]


def test_steps_that_vary_too_much_give_no_verdict():
    # Long stretches in which one task or the other owns everything: a hundred steps are not a hundred observations.
    first, second = [[1.0, 0.0], [0.0, 1e-4]], [[1e-4, 0.0], [0.0, 1.0]]
    rows = [record(step, "ab", first if (step // 20) % 2 else second) for step in range(1, 101)]
    verdict = judge(records_frame(rows))
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
    verdict = judge(records_frame([record(step, "a", [[1.0]]) for step in range(1, 101)]))
    assert verdict.status == "single task"
    assert "nothing to balance" in verdict.summary


def test_tasks_may_be_missing_and_numbers_not_finite():
    both, nan = [[1.0, 0.0], [0.0, 1.0]], math.nan
    rows = [record(step, "ab", both) if step % 2 else record(step, "b", [[1.0]]) for step in range(1, 161)]
    rows += [record(161, "ab", [[nan, 0.0], [0.0, 1.0]]), record(162, "ab", [[0.0, 0.0], [0.0, 0.0]])]
    verdict = judge(records_frame(rows))
    assert verdict.status == "balanced"
    first, second = verdict.tasks
    assert (first.present, first.share, first.fair) == pytest.approx((0.5, 0.5, 0.5))
    assert (second.share, second.fair) == pytest.approx((1.5 / 2 / 1.0, 0.75), abs=0.1)
    assert verdict.notes[0] == "`a` had a gradient in 50 % of the analysed steps."
    assert "2 recorded steps were left out" in verdict.notes[1]


def test_a_task_without_any_gradient_is_noted():
    verdict = judge(
        records_frame([record(step, "abc", [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 0]]) for step in range(1, 101)])
    )
    assert "`c` never had a gradient" in verdict.notes[0]
    assert verdict.tasks[2].share is None
    assert (verdict.status, verdict.certainty, verdict.unconfirmed) == ("undecided", None, ())


@pytest.mark.parametrize("left", ["zero", "absent"])
def test_a_gradient_that_dies_is_no_balance(left):
    both, gone = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]]
    after = {"zero": ("ab", gone), "absent": ("a", [[1.0]])}[left]
    verdict = judge(records_frame([record(step, *(("ab", both) if step <= 40 else after)) for step in range(1, 101)]))
    assert (verdict.status, verdict.certainty) == ("undecided", None)
    assert verdict.summary.endswith("too few recorded steps have a gradient of `b`.")
    assert verdict.unconfirmed == ("`b` has had no gradient since step 41.",)
    assert not any("`b`" in note for note in verdict.notes)
    assert verdict_text(verdict).analysed == "Analysed: 50 recorded steps from 51 to 100."


def test_a_gradient_of_a_few_steps_in_a_row_tells_nothing():
    both, gone = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]]
    verdict = judge(records_frame([record(step, "ab", both if step <= 53 else gone) for step in range(1, 101)]))
    assert (verdict.status, verdict.unconfirmed) == ("undecided", ())
    assert verdict.notes[0] == "`b` had a gradient in 6 % of the analysed steps."


def test_weights_and_updates_may_be_zero():
    conflict = [[1.0, -0.9], [-0.9, 1.0]]
    verdict = judge(records_frame([record(step, "ab", conflict, weights=[0.0, 0.0]) for step in range(1, 101)]))
    (finding,) = verdict.findings
    assert finding.kind == "conflict"
    assert "The update keeps" not in finding.text
    orthogonal = [[1.0, 0.0], [0.0, 1.0]]
    verdict = judge(records_frame([record(step, "ab", orthogonal, weights=[0.0, 0.0]) for step in range(1, 101)]))
    assert (verdict.status, verdict.certainty) == ("undecided", None)


def test_the_square_of_an_update_may_be_below_zero_by_rounding():
    rows = [record(step, "ab", [[1.0, -1.0], [-1.0, 1.0]]) | {"update_square": -1e-18} for step in range(1, 101)]
    assert (gather(records_frame(rows)).update_square == 0).all()
    verdict = judge(records_frame(rows))
    assert (verdict.cause, verdict.survives) == ("conflict", 0.0)


def test_methods_without_weights_are_noted():
    rows = [record(step, "ab", [[1.0, 0.0], [0.0, 1.0]]) for step in range(1, 101)]
    assert "gives no weights" in judge(records_frame(rows)).notes[-1]


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
    records = gather(records_frame(rows))
    for shares in (
        actual_shares(records),
        shares_under(records, equal_norm_weights(records)),
        shares_under(records, torch.ones(3).numpy()),
    ):
        assert shares.mean().sum() == pytest.approx(1)
