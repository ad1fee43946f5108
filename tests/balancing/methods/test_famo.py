"""FAMO against recorded sequences, and the inputs that it refuses."""

import pytest
import torch

import equipoise
from equipoise import Context, Forward


def test_recorded_sequences(parity):
    records = parity.read("sequences_dev")["records"]
    records = [record for record in records if record["method"] == "famo"]
    assert records
    for record in records:
        inputs, outputs, options = record["inputs"], record["outputs"], record["hparams"]
        tasks = [str(number) for number in range(len(inputs["min_losses"]))]
        balancer = equipoise.FAMO(
            learning_rate=options["w_lr"],
            gamma=options["gamma"],
            minima=dict(zip(tasks, inputs["min_losses"], strict=True)),
        )
        scale = torch.ones((), dtype=torch.float64, requires_grad=True)
        for number, (before, after) in enumerate(zip(inputs["losses_before"], inputs["losses_after"], strict=True)):
            losses = {task: value * scale for task, value in zip(tasks, before, strict=True)}
            balance = balancer.backward(losses, shared=[scale])
            expected = torch.tensor(outputs["effective_weights"][number], dtype=torch.float64)
            torch.testing.assert_close(torch.stack(list(balance.weights.values())), expected, rtol=1e-10, atol=1e-12)
            again = {task: torch.tensor(value, dtype=torch.float64) for task, value in zip(tasks, after, strict=True)}
            balancer.after_step(Context(again=lambda again=again: Forward(again)))
        found = torch.stack([balancer.state["logits"]["values"][task] for task in tasks])
        torch.testing.assert_close(
            found, torch.tensor(outputs["final_logits"], dtype=torch.float64), rtol=1e-10, atol=0
        )


def leaf(*values: float):
    scale = torch.ones((), requires_grad=True)
    return {name: value * scale for name, value in zip("abc", values, strict=False)}


def test_the_batch_again_must_have_the_same_tasks():
    balancer = equipoise.FAMO()
    balancer.backward(leaf(1.0, 2.0))
    with pytest.raises(ValueError, match=r"`context\.again`"):
        balancer.after_step(Context(again=lambda: Forward(leaf(1.0))))


@pytest.mark.parametrize("after", [float("nan"), float("inf"), -1.0])
def test_a_loss_that_is_not_finite_after_the_step_teaches_nothing(after):
    balancer = equipoise.FAMO()
    balancer.backward(leaf(1.0, 2.0))
    balancer.after_step(Context(again=lambda: Forward(leaf(after, 1.0))))
    weights = balancer.backward(leaf(1.0, 1.0)).weights
    assert float(weights["a"]) == float(weights["b"]) == 0.5


def test_a_loss_below_its_minimum_is_refused():
    with pytest.raises(ValueError, match=r"`losses\['b'\]`.*`minima`"):
        equipoise.FAMO(minima={"b": 2.5}).backward(leaf(1.0, 2.0))


def test_the_task_that_falls_behind_gains_weight():
    balancer = equipoise.FAMO()
    for _ in range(5):
        balance = balancer.backward(leaf(1.0, 1.0))
        balancer.after_step(Context(again=lambda: Forward(leaf(0.5, 1.0))))
    assert balance.weights["b"] > balance.weights["a"]
    assert float(sum(balance.weights.values())) == pytest.approx(1.0)
