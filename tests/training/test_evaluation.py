"""Evaluation of a network on a split."""

import pytest
import torch

from equipoise.training.evaluation import evaluate, task_losses
from equipoise.training.session import Session

from .test_step import session_of


@pytest.fixture
def session(rooms) -> Session:
    return session_of(rooms)


def test_every_sample_counts_the_same_whatever_the_size_of_its_batch(session):
    (batch, *_) = session.chosen_on.loader
    parts = [{key: value[start:end] for key, value in batch.items()} for start, end in ((0, 3), (3, 4))]
    session.model.eval()
    expected = {}
    with torch.no_grad():
        losses = [task_losses(session.model(part["image"]), part, session.tasks) for part in parts]
    for task in session.tasks:
        # Three samples and one: the second loss counts a quarter.
        first, second = (float(loss[task]) for loss in losses)
        assert abs(first - second) > 1e-4 * first
        expected[task] = (3 * first + second) / 4
    assert evaluate(session, session.tasks, parts, lambda: None).losses == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_in_the_mode_it_was_in(session, training):
    session.model.train(training)
    evaluate(session, session.tasks, session.chosen_on.loader, lambda: None)
    assert {module.training for module in session.model.modules()} == {training}
    assert all(parameter.requires_grad for parameter in session.model.parameters())
    assert torch.is_grad_enabled()


def test_an_evaluation_changes_no_batch_statistics(session):
    buffers = [buffer.clone() for buffer in session.model.buffers()]
    evaluate(session, session.tasks, session.chosen_on.loader, lambda: None)
    assert all(torch.equal(old, new) for old, new in zip(buffers, session.model.buffers(), strict=True))
