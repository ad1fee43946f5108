"""One training step, and what a balancing method may ask for besides its batch."""

import math
from collections.abc import Iterator
from itertools import count

import pytest
import torch

from equipoise.config import RunConfig
from equipoise.training import prepare, training_step
from equipoise.training.context import forward, further_batches, step_context
from equipoise.training.loading import Batch
from equipoise.training.session import Session


def session_of(rooms, balancer="uniform", **training) -> Session:
    return prepare(
        RunConfig.model_validate(
            {
                "data": {"name": "rooms", "root": str(rooms)},
                "tasks": ["seg", "depth"],
                "model": {"backbone": "test_resnet", "decoder": "conv", "output_stride": 8},
                "training": {"batch_size": 4, "epochs": 1, "accelerator": "cpu", "probe": None, **training},
                "balancer": balancer,
            }
        )
    )


def batches(session: Session) -> Iterator[Batch]:
    return session.train_loader.stream(count())


def weights(session: Session) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten().clone() for parameter in session.model.parameters()])


@pytest.mark.parametrize("clip", [0.0, 1e-3])
def test_the_gradient_is_clipped_to_its_largest_norm(rooms, clip):
    session = session_of(rooms, optimizer="sgd", momentum=0.0, weight_decay=0.0, learning_rate=0.5, clip=clip)
    before = weights(session)
    training_step(session, next(batches(session)), iter(()))
    moved = (weights(session) - before).norm().item()
    if clip:
        # A step of SGD is as long as the learning rate times the norm of the gradient.
        assert moved == pytest.approx(0.5 * clip, rel=1e-3)
    else:
        assert moved > 0.01


def test_neither_optimiser_nor_method_steps_on_a_skipped_batch(rooms, monkeypatch):
    session = session_of(rooms, {"name": "famo", "nonfinite": "skip"})
    steps = []
    session.optimizer.register_step_post_hook(lambda *_: steps.append(session.balancer.skipped_steps))
    learnt, after_step = [], session.balancer.after_step
    monkeypatch.setattr(session.balancer, "after_step", lambda context: learnt.append(after_step(context)))
    stream = batches(session)
    good, broken = next(stream), next(stream)
    assert training_step(session, good, iter(())) is not None
    assert (steps, len(learnt)) == ([0], 1)
    state = str(session.balancer.state)
    before = weights(session)
    broken["depth"] = torch.full_like(broken["depth"], math.inf)
    broken["image"] = broken["image"] * math.nan
    balance = training_step(session, broken, iter(()))
    assert balance is not None
    assert balance.skipped
    assert (steps, len(learnt)) == ([0], 1)
    assert torch.equal(weights(session), before)
    assert str(session.balancer.state) == state


def test_a_batch_without_labels_moves_the_schedule_alone(rooms):
    session = session_of(rooms, schedule="poly", learning_rate=0.1)
    batch = next(batches(session))
    before = weights(session)
    # PyTorch warns of a schedule that moves before the optimiser has ever stepped.
    session.optimizer.step()
    assert training_step(session, {"image": batch["image"]}, iter(())) is None
    assert torch.equal(weights(session), before)
    assert session.optimizer.param_groups[0]["lr"] < 0.1


def test_a_method_gets_the_same_batch_again_and_further_batches(rooms):
    session = session_of(rooms)
    stream = batches(session)
    batch, other, third = next(stream), next(stream), next(stream)
    context = step_context(session, batch, iter([other, third]))
    passes = {"again": context.again, "further": context.further, "validation": context.validation}
    buffers = [buffer.clone() for buffer in session.model.buffers()]
    for name, expected in (("again", batch), ("further", other), ("validation", third), ("again", batch)):
        run = passes[name]
        assert run is not None
        found = run()
        assert all(torch.equal(old, new) for old, new in zip(buffers, session.model.buffers(), strict=True))
        losses = forward(session, expected).losses
        assert {task: loss.item() for task, loss in found.losses.items()} == {
            task: loss.item() for task, loss in losses.items()
        }
        buffers = [buffer.clone() for buffer in session.model.buffers()]


def test_further_batches_are_not_those_of_the_epoch(rooms):
    session = session_of(rooms)
    seeds = [
        next(session.train_loader.stream([7])),
        next(further_batches(session, 7)),
        next(further_batches(session, 8)),
    ]
    first, *others = (batch["image"] for batch in seeds)
    assert not any(torch.equal(first, other) for other in others)
    assert not torch.equal(*others)


def test_the_feature_distance_sees_the_features_of_the_step(rooms, monkeypatch):
    session = session_of(rooms, probe={"every": 1, "feature_distance": True})
    seen = []
    monkeypatch.setattr(session.feature_distance, "observe", lambda features, own: seen.append((features, own())))
    batch = next(batches(session))
    session.teachers = {"seg": session.model}
    expected = forward(session, batch).features
    training_step(session, batch, iter(()))
    ((features, own),) = seen
    assert all(torch.equal(one, other) for one, other in zip(features, expected, strict=True))
    assert torch.equal(own["seg"], expected[-1])
