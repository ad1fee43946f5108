"""URL against a recorded distance, and the training of its adaptors."""

import pytest
import torch

import equipoise
from equipoise import Context
from equipoise.balancing.methods.url import url_distance

from ..networks import TASKS, context, network, step


def test_recorded_distances(parity):
    records = parity.read("sequences_dev")["records"]
    records = [record for record in records if record["method"] == "url_distill"]
    assert records
    for record in records:
        inputs, outputs = record["inputs"], record["outputs"]
        features = torch.tensor(inputs["student_feats"], dtype=torch.float64).requires_grad_()
        teachers = [torch.tensor(teacher, dtype=torch.float64) for teacher in inputs["teacher_feats"]]
        adaptors = torch.tensor(inputs["adaptor_1x1_weights"], dtype=torch.float64)
        expected = torch.tensor(outputs["dist_losses"], dtype=torch.float64)
        found = torch.stack([url_distance(list(features), t, list(a)) for t, a in zip(teachers, adaptors, strict=True)])
        torch.testing.assert_close(found.detach(), expected, rtol=1e-9, atol=0)

        tasks = ["a", "b", "c"]
        balancer = equipoise.URL(strength=dict(zip(tasks, record["hparams"]["lambda"], strict=True)))
        held = {t: {str(level): value for level, value in enumerate(a)} for t, a in zip(tasks, adaptors, strict=True)}
        balancer.state = balancer.state | {"adaptors": held}
        read = [feature * 1.0 for feature in features]
        losses = {task: sum(feature.sum() for feature in read) * 0 for task in tasks}
        around = Context(teachers=lambda: dict(zip(tasks, teachers, strict=True)))  # noqa: B023
        balancer.backward(losses, features=read, context=around)
        wanted = torch.tensor(outputs["grad_student_feats"], dtype=torch.float64)
        torch.testing.assert_close(features.grad, wanted, rtol=1e-9, atol=1e-12)


def test_the_losses_are_reported_without_the_distances():
    net, inputs = network()
    balance = step(equipoise.URL(), net, inputs)
    torch.testing.assert_close(
        {task: loss.detach() for task, loss in net.losses(net.encode(inputs)).items()}, balance.losses
    )
    assert balance.weights is None


def test_adaptors_are_trained_and_stored():
    net, inputs = network()
    balancer = equipoise.URL()

    def distance() -> float:
        teachers = context(balancer, net, inputs).teachers()
        features = net.encode(inputs).detach()
        held = balancer.state["adaptors"]
        return sum(float(url_distance([features], teachers[task], list(held[task].values()))) for task in TASKS)

    distances = []
    for _ in range(60):
        step(balancer, net, inputs)  # the network stays, the adaptors move
        balancer.after_step()
        distances.append(distance())
    assert distances[-1] < 0.5 * distances[0]
    assert set(balancer.state["adaptors"]) == set(TASKS)
    assert not list(balancer.parameters())


def test_gradients_accumulate_in_adaptors_and_a_scaler_changes_nothing():
    net, inputs = network(torch.float32)
    found = []
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=256.0)):
        balancer = equipoise.URL(learning_rate=0.1)
        for _ in range(2):
            step(balancer, net, inputs, scaler=scaler)
        balancer.after_step()
        assert balancer.state["step"] == 1
        found.append([value for task in TASKS for value in balancer.state["adaptors"][task].values()])
    torch.testing.assert_close(found[0], found[1])


def test_the_rate_of_the_adaptors_falls_along_a_cosine():
    net, inputs = network()
    balancer = equipoise.URL(steps=2, weight_decay=0.0)
    for _ in range(4):
        before = balancer.state["adaptors"]
        step(balancer, net, inputs)
        balancer.after_step()
    for task in TASKS:
        assert torch.equal(before[task]["0"], balancer.state["adaptors"][task]["0"])


def test_what_is_missing_is_named():
    net, inputs = network()
    whole = context(equipoise.URL(), net, inputs)
    with pytest.raises(ValueError, match="`b`"):
        step(equipoise.URL(), net, inputs, context=Context(teachers=lambda: {"a": whole.teachers()["a"]}))
    with pytest.raises(ValueError, match="`features`"):
        equipoise.URL().backward(net.losses(net.encode(inputs)), shared=net.shared(), context=whole)
