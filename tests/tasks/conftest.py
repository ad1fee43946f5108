"""The properties that every task must have, ours and a user's alike.

Each takes a task and a batch of two targets in which some pixels are unlabelled.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from equipoise.tasks import Task

Property = Callable[[Task, Tensor], None]


def output_of_a_network(task: Task, target: Tensor) -> Tensor:
    size = target.shape[-2:] if task.dense else ()
    return torch.randn(len(target), task.channels, *size, generator=torch.Generator().manual_seed(1))


def loss_ignores_unlabelled_pixels(task: Task, target: Tensor) -> None:
    prediction = output_of_a_network(task, target).requires_grad_()
    valid = task.valid(target).reshape(len(target), 1, *prediction.shape[2:])
    loss = task.loss(prediction, target)
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert loss.ndim == 0
    assert loss.isfinite()
    assert gradient.isfinite().all()
    assert (gradient.masked_select(~valid) == 0).all()
    assert (gradient.abs().sum(1, keepdim=True).masked_select(valid) > 0).all()
    elsewhere = prediction.detach().where(valid, 1e4)
    torch.testing.assert_close(task.loss(elsewhere, target), loss.detach())


def loss_without_labels_is_a_zero_with_a_graph(task: Task, target: Tensor) -> None:
    prediction = output_of_a_network(task, target).requires_grad_()
    loss = task.loss(prediction, torch.full_like(target, task.ignore))
    loss.backward()
    assert loss.item() == 0
    assert prediction.grad is not None
    assert (prediction.grad == 0).all()


def loss_is_a_mean_even_over_a_single_label(task: Task, target: Tensor) -> None:
    valid = task.valid(target)
    single = torch.zeros_like(valid).flatten()
    single[valid.flatten().nonzero()[0]] = True
    only = target.where(single.reshape(valid.shape), task.ignore)
    prediction = output_of_a_network(task, target)
    for labels in (target, only):
        twice = task.loss(torch.cat([prediction, prediction]), torch.cat([labels, labels]))
        torch.testing.assert_close(twice, task.loss(prediction, labels))


def loss_is_computed_in_float32_at_least(task: Task, target: Tensor) -> None:
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        prediction = output_of_a_network(task, target).to(dtype).requires_grad_()
        loss = task.loss(prediction, target)
        assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        torch.testing.assert_close(loss.float(), task.loss(prediction.detach().float(), target))
        loss.backward()
        assert prediction.grad is not None
        assert prediction.grad.dtype == dtype


def loss_and_gradient_are_finite_for_extreme_predictions(task: Task, target: Tensor) -> None:
    for scale in (0.0, 1e-8, 1e4):
        prediction = (output_of_a_network(task, target) * scale).requires_grad_()
        loss = task.loss(prediction, target)
        loss.backward()
        assert loss.isfinite()
        assert prediction.grad is not None
        assert prediction.grad.isfinite().all()


def loss_refuses_predictions_that_would_broadcast(task: Task, target: Tensor) -> None:
    prediction = output_of_a_network(task, target)
    with pytest.raises((ValueError, RuntimeError)):
        task.loss(prediction[..., :1] if task.dense else prediction[:1], target)


def metrics_take_activated_predictions(task: Task, target: Tensor) -> None:
    metrics = task.metrics()
    assert next(iter(metrics)) == task.metric
    assert metrics[task.metric].higher_is_better is task.higher_is_better
    assert next(iter(task.compared)) == task.metric
    for metric in metrics.values():
        metric.update(task.activate(output_of_a_network(task, target)), target)
        assert metric.compute().isfinite()
    assert task.metrics()[task.metric] is not metrics[task.metric]


def encoding_marks_what_is_unlabelled(task: Task, target: Tensor) -> None:
    nothing = torch.full_like(target, task.ignore)
    assert target.dtype == task.dtype
    assert not task.valid(nothing).any()
    assert task.has_labels(target)
    assert task.has_labels(target[0])
    assert not task.has_labels(nothing)
    assert task.faults(target[0]) == []
    labels = task.count_labels(target[0])
    assert labels.samples == 1
    assert labels.labelled == task.valid(target[0]).sum()
    assert task.statistics(labels)
    assert task.statistics(task.count_labels(nothing[0])) == {}


def flip_twice_is_the_identity(task: Task, target: Tensor) -> None:
    for one in (target, target[0]) if task.dense else ():
        assert not torch.equal(task.flip(one), one)
        torch.testing.assert_close(task.flip(task.flip(one)), one)


def zoom_can_be_undone_and_keeps_what_is_unlabelled(task: Task, target: Tensor) -> None:
    assert torch.equal(task.valid(task.zoom(target, 1.7)), task.valid(target))
    torch.testing.assert_close(task.zoom(task.zoom(target, 2.0), 0.5), target)


def draws_targets_and_predictions(task: Task, target: Tensor) -> None:
    prediction = task.activate(output_of_a_network(task, target))
    assert prediction.shape == target.shape
    empty = task.draw(torch.full_like(target[0], task.ignore))
    for picture in (task.draw(target[0]), task.draw(prediction[0]), empty):
        assert picture.shape == (3, *(target.shape[-2:] if task.dense else empty.shape[1:]))
        assert picture.dtype == torch.uint8
    assert (empty == empty[:, :1, :1]).all()
    assert (task.draw(target[0]) != empty).any()


PROPERTIES: list[Property] = [
    loss_ignores_unlabelled_pixels,
    loss_without_labels_is_a_zero_with_a_graph,
    loss_is_a_mean_even_over_a_single_label,
    loss_is_computed_in_float32_at_least,
    loss_and_gradient_are_finite_for_extreme_predictions,
    loss_refuses_predictions_that_would_broadcast,
    metrics_take_activated_predictions,
    encoding_marks_what_is_unlabelled,
    flip_twice_is_the_identity,
    zoom_can_be_undone_and_keeps_what_is_unlabelled,
    draws_targets_and_predictions,
]


@pytest.fixture(params=PROPERTIES, ids=lambda found: found.__name__)
def task_property(request: pytest.FixtureRequest) -> Property:
    return request.param
