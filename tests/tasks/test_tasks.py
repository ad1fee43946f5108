"""Tests of every kind of task. A new kind fails here until `KINDS` and `TARGETS` have an example of it."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from equipoise import tasks
from equipoise.tasks import Task
from equipoise.tasks.base import masked_mean
from equipoise.tasks.classification import Classification
from equipoise.tasks.depth import Depth
from equipoise.tasks.disparity import Disparity
from equipoise.tasks.edges import Edges
from equipoise.tasks.instance_offsets import InstanceOffsets
from equipoise.tasks.reconstruction import Reconstruction
from equipoise.tasks.regression import Regression
from equipoise.tasks.saliency import Saliency
from equipoise.tasks.semantic_segmentation import Parts, SemanticSegmentation
from equipoise.tasks.surface_normals import SurfaceNormals

BATCH, HEIGHT, WIDTH = 2, 9, 12
CLASSES = ("wall", "floor", "ceiling", "door")

KINDS: dict[str, Task] = {
    "classification": Classification(name="animal", classes=("cat", "dog", "owl")),
    "depth": Depth(name="depth"),
    "disparity": Disparity(name="disparity"),
    "edges": Edges(name="edge"),
    "instance_offsets": InstanceOffsets(name="instance"),
    "parts": Parts(name="parts", classes=CLASSES),
    "reconstruction": Reconstruction(name="image", mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)),
    "regression": Regression(name="gap", mean=3.0, std=2.0, scale=1000, unit="meV"),
    "saliency": Saliency(name="saliency"),
    "semantic_segmentation": SemanticSegmentation(name="seg", classes=CLASSES),
    "surface_normals": SurfaceNormals(name="normals"),
}

TARGETS = {
    "classification": lambda: torch.tensor([2, 0]),
    "depth": lambda: torch.rand(BATCH, 1, HEIGHT, WIDTH) * 9 + 0.5,
    "disparity": lambda: torch.rand(BATCH, 1, HEIGHT, WIDTH) * 30 + 0.5,
    "edges": lambda: (torch.rand(BATCH, 1, HEIGHT, WIDTH) < 0.3).float(),
    "instance_offsets": lambda: torch.randn(BATCH, 2, HEIGHT, WIDTH) * 5,
    "parts": lambda: torch.randint(4, (BATCH, HEIGHT, WIDTH)),
    "reconstruction": lambda: torch.randn(BATCH, 3, HEIGHT, WIDTH),
    "regression": lambda: torch.randn(BATCH, 1),
    "saliency": lambda: (torch.rand(BATCH, 1, HEIGHT, WIDTH) < 0.3).float(),
    "semantic_segmentation": lambda: torch.randint(4, (BATCH, HEIGHT, WIDTH)),
    "surface_normals": lambda: functional.normalize(torch.randn(BATCH, 3, HEIGHT, WIDTH), dim=1),
}

every_kind = pytest.mark.parametrize("kind", sorted(KINDS))
every_dense_kind = pytest.mark.parametrize("kind", sorted(kind for kind, task in KINDS.items() if task.dense))


def labels(kind: str, *, unlabelled: bool = True) -> tuple[Task, Tensor]:
    """A batch of targets of which a good part of the pixels is unlabelled."""
    task, target = KINDS[kind], TARGETS[kind]()
    if unlabelled:
        if task.dense:
            hole = torch.rand(BATCH, 1, HEIGHT, WIDTH) < 0.4
            target = target.masked_fill(hole if target.ndim == 4 else hole[:, 0], task.ignore)
        else:
            target[-1] = task.ignore
    return task, target


def raw(task: Task) -> Tensor:
    """A batch of outputs of a network."""
    return torch.randn(BATCH, task.channels, *((HEIGHT, WIDTH) if task.dense else ()))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_every_kind_has_an_example() -> None:
    assert set(tasks.available()) == set(KINDS)
    for name in tasks.available():
        assert KINDS[name].kind == name
        assert type(KINDS[name]) is tasks.kind(name)


def test_create_by_kind() -> None:
    assert tasks.create("depth", name="distance") == Depth(name="distance")


def test_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="Did you mean `depth`"):
        tasks.kind("deepth")


@every_kind
def test_has_the_properties_of_every_task(kind: str, task_property) -> None:
    task_property(*labels(kind))


@every_kind
def test_is_immutable(kind: str) -> None:
    with pytest.raises(AttributeError):
        KINDS[kind].name = "other"  # type: ignore[misc]


@every_kind
def test_loss_is_the_mean_over_all_labelled_pixels_of_the_batch(kind: str) -> None:
    task, target = labels(kind)
    if kind == "saliency":
        # Balanced over the batch otherwise, so that an image alone has other weights.
        task = Saliency(name="saliency", positive_weight=0.8)
    prediction = raw(task)
    counts = [task.valid(target[[i]]).sum() for i in range(BATCH)]
    losses = [task.loss(prediction[[i]], target[[i]]) for i in range(BATCH)]
    expected = sum(count * loss for count, loss in zip(counts, losses, strict=True)) / sum(counts)
    torch.testing.assert_close(task.loss(prediction, target), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@every_kind
def test_loss_does_not_wait_for_the_device(kind: str) -> None:
    task, target = labels(kind)
    prediction = raw(task)
    on_device, labels_on_device = prediction.cuda().requires_grad_(), target.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss = task.loss(on_device, labels_on_device)
        loss.backward()
        task.activate(on_device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(loss.detach().cpu(), task.loss(prediction, target))


@every_dense_kind
@given(height=st.integers(1, 30), width=st.integers(1, 30))
@settings(max_examples=25, deadline=None)
def test_resize_takes_the_nearest_pixel(kind: str, height: int, width: int) -> None:
    task, target = labels(kind)
    resized = task.resize(target[0], (height, width))
    rows = ((torch.arange(height) + 0.5) * HEIGHT / height).floor().long()
    columns = ((torch.arange(width) + 0.5) * WIDTH / width).floor().long()
    assert resized.dtype == target.dtype
    assert torch.equal(resized, target[0][..., rows, :][..., columns])


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("depth", float("nan"), "finite"),
        ("disparity", float("inf"), "finite; found 1 pixels"),
        ("instance_offsets", float("nan"), "found 1 pixels"),
        ("edges", 7.0, "0, 1 or 255"),
        ("saliency", 0.5, "0, 1 or 255"),
        ("edges", float("nan"), "0, 1 or 255"),
        ("parts", 4, "found 4 on 1 pixels"),
        ("reconstruction", float("nan"), "found 3 that are not"),
        ("reconstruction", -float("inf"), "found 3 that are not"),
        ("semantic_segmentation", 41, "found 41 on 1 pixels"),
        ("semantic_segmentation", -1, "found -1 on 1 pixels"),
        ("surface_normals", 0.2, "length 1; found 1 pixels"),
        ("surface_normals", float("nan"), "length 1; found 1 pixels"),
    ],
)
def test_faults_are_named(kind: str, value: float, words: str) -> None:
    task, target = labels(kind, unlabelled=False)
    target[0, ..., 3, 4] = value
    (fault,) = task.faults(target[0])
    assert words in fault


@pytest.mark.parametrize(
    ("kind", "target", "words"),
    [
        ("classification", torch.tensor(3), "below 3, or -1; found 3"),
        ("classification", torch.tensor(-2), "found -2"),
        ("regression", torch.tensor([float("nan")]), "finite, or inf if unknown; found nan"),
    ],
)
def test_faults_of_single_labels_are_named(kind: str, target: Tensor, words: str) -> None:
    (fault,) = KINDS[kind].faults(target)
    assert words in fault


def test_regression_is_measured_in_the_original_unit() -> None:
    task = KINDS["regression"]
    assert isinstance(task, Regression)
    target = task.standardise(torch.tensor([[5.0], [1.0], [float("inf")]]))
    assert target.flatten().tolist() == [1.0, -1.0, float("inf")]
    metric = task.metrics()["mae"]
    # Errors of 0.5 and 1.5 deviations of 2 units, in thousandths.
    metric.update(torch.tensor([[1.5]]), target[:1])
    metric.update(torch.tensor([[0.5], [0.0]]), target[1:])
    assert metric.compute().item() == 2000.0


def test_reconstruction_is_measured_in_normalised_values() -> None:
    task = Reconstruction(name="image", mean=(0.5,), std=(0.25,))
    target = task.normalise(torch.tensor([0.0, 1.0, 0.5]).reshape(1, 1, 3))
    assert target.flatten().tolist() == [-2.0, 2.0, 0.0]
    assert task.draw(target)[:, 0].tolist() == [[0, 255, 128]] * 3
    metric = task.metrics()["mse"]
    metric.update(torch.zeros(1, 1, 1, 3), target[None])
    torch.testing.assert_close(metric.compute(), torch.tensor(8 / 3))


def test_a_masked_mean_is_blind_to_invalid_values() -> None:
    values = torch.tensor([[[1.0, torch.nan, 4.0, torch.inf], [3.0, torch.nan, 2.0, -torch.inf]]], requires_grad=True)
    valid = torch.tensor([[[True, False, True, False]]])
    mean = masked_mean(values, valid)
    mean.backward()
    # The sum of four values over two valid pixels.
    assert mean.item() == 5
    assert values.grad is not None
    assert values.grad[0].tolist() == [[0.5, 0, 0.5, 0]] * 2
    nothing = masked_mean(values.detach(), torch.zeros_like(valid))
    assert nothing.item() == 0


@pytest.mark.parametrize("kind", ["depth", "disparity"])
def test_holes_stored_as_nan_or_infinity_count_as_unlabelled(kind: str) -> None:
    task, target = labels(kind)
    prediction = raw(task).requires_grad_()
    hole = target == task.ignore
    holes = target.masked_fill(hole, torch.nan).where(~hole | (torch.rand(target.shape) < 0.5), torch.inf)
    loss = task.loss(prediction, holes)
    loss.backward()
    torch.testing.assert_close(loss.detach(), task.loss(prediction.detach(), target))
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()
    for metric, other in zip(task.metrics().values(), task.metrics().values(), strict=True):
        metric.update(prediction.detach(), holes)
        other.update(prediction.detach(), target)
        assert torch.equal(metric.compute(), other.compute())


@every_kind
def test_metrics_accumulate_over_batches_of_any_size(kind: str) -> None:
    # The mean of the metrics of batches would be another number wherever batches or their labels differ in size.
    task = KINDS[kind]
    target = torch.cat([labels(kind)[1] for _ in range(3)])
    prediction = task.activate(torch.cat([raw(task) for _ in range(3)]))
    if not task.dense:
        prediction[0] = target[0]
    for name, whole in task.metrics().items():
        parts, means = task.metrics()[name], []
        whole.update(prediction, target)
        for batch in zip(prediction.split([1, 5]), target.split([1, 5]), strict=True):
            parts.update(*batch)
            alone = task.metrics()[name]
            alone.update(*batch)
            means.append(alone.compute())
        torch.testing.assert_close(parts.compute(), whole.compute())
        # Otherwise this test would prove nothing.
        assert not torch.isclose(torch.stack(means).mean(), whole.compute(), rtol=1e-4), name


def test_cross_entropy_by_hand() -> None:
    task = SemanticSegmentation(name="seg", classes=("a", "b", "c"))
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0], [9.0, 9.0, 9.0]]).T.reshape(1, 3, 1, 3)
    target = torch.tensor([[[0, 2, 255]]])
    expected = -(torch.tensor([2.0, 0.0, -1.0]).log_softmax(0)[0] + torch.tensor([0.5, 0.5, 3.0]).log_softmax(0)[2]) / 2
    torch.testing.assert_close(task.loss(logits, target), expected)


def test_depth_loss_by_hand() -> None:
    prediction = torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]], requires_grad=True)
    target = torch.tensor([[[[1.5, 0.0, -1.0, float("nan")]]]])
    loss = Depth(name="depth").loss(prediction, target)
    loss.backward()
    assert loss.item() == 0.5
    assert prediction.grad is not None
    assert prediction.grad.flatten().tolist() == [-1, 0, 0, 0]


def test_reconstruction_loss_by_hand() -> None:
    task = Reconstruction(name="image", mean=(0.5, 0.5), std=(1.0, 1.0))
    target = torch.tensor([[1.0, 3.0, torch.inf], [2.0, 0.0, torch.inf]]).reshape(1, 2, 1, 3)
    # The mean over both channels of two known pixels.
    assert task.loss(torch.zeros(1, 2, 1, 3), target).item() == (1 + 9 + 4 + 0) / 4


def test_normals_loss_has_both_public_forms() -> None:
    task, target = labels("surface_normals")
    prediction = torch.randn_like(target)
    unit = prediction / prediction.norm(dim=1, keepdim=True)
    known = target.norm(dim=1) > 0.5
    by_pixel = (unit - target).abs().sum(1)[known].mean()
    torch.testing.assert_close(task.loss(prediction, target), by_pixel)
    torch.testing.assert_close(
        SurfaceNormals(name="n", average_over="components").loss(prediction, target), by_pixel / 3
    )


def test_normals_loss_is_blind_to_length() -> None:
    task, target = labels("surface_normals")
    prediction = torch.randn_like(target)
    torch.testing.assert_close(task.loss(prediction * 1e-3, target), task.loss(prediction * 50, target))


def test_normals_that_sum_to_zero_count() -> None:
    direction = torch.tensor([0.6, 0.2, -0.8])
    assert direction.sum() == 0
    assert KINDS["surface_normals"].valid(direction.reshape(3, 1, 1)).all()


def test_flip_of_a_normal() -> None:
    facing_left_then_down = torch.tensor([[-0.6, 0.0, -0.8], [0.0, 1.0, 0.0]]).T.reshape(3, 1, 2)
    facing_down_then_right = torch.tensor([[0.0, 1.0, 0.0], [0.6, 0.0, -0.8]]).T.reshape(3, 1, 2)
    torch.testing.assert_close(KINDS["surface_normals"].flip(facing_left_then_down), facing_down_then_right)


def test_zoom_brings_depth_nearer() -> None:
    torch.testing.assert_close(KINDS["depth"].zoom(torch.tensor([[[3.0, 0.0]]]), 1.5), torch.tensor([[[2.0, 0.0]]]))


def test_edge_loss_by_hand() -> None:
    logits, target = torch.tensor([0.3, -1.2, 2.0]), torch.tensor([1.0, 0.0, 255.0])
    p = logits.sigmoid()
    expected = (-0.95 * p[0].log() - 0.05 * (1 - p[1]).log()) / 2
    loss = KINDS["edges"].loss(logits.reshape(1, 1, 1, 3), target.reshape(1, 1, 1, 3))
    torch.testing.assert_close(loss, expected)


def test_saliency_loss_by_hand() -> None:
    logits, target = torch.tensor([0.3, -1.2, 2.0, 0.7, -0.4]), torch.tensor([1.0, 0.0, 0.0, 255.0, 0.0])
    p = logits.sigmoid()
    others = (1 - p[1]).log() + (1 - p[2]).log() + (1 - p[4]).log()
    loss = KINDS["saliency"].loss(logits.reshape(1, 1, 1, 5), target.reshape(1, 1, 1, 5))
    torch.testing.assert_close(loss, (-0.75 * p[0].log() - 0.25 * others) / 4)


def test_a_batch_without_a_salient_pixel_has_a_loss_of_zero_with_a_graph() -> None:
    logits = torch.randn(1, 1, 3, 3, requires_grad=True)
    loss = KINDS["saliency"].loss(logits, torch.zeros(1, 1, 3, 3))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_an_image_without_parts_is_unlabelled() -> None:
    background = torch.zeros(HEIGHT, WIDTH, dtype=torch.int64)
    assert not KINDS["parts"].has_labels(background)
    assert KINDS["semantic_segmentation"].has_labels(background)


def test_pictures_of_normals_have_the_usual_colours() -> None:
    towards = torch.tensor([0.0, 0.0, -1.0]).reshape(3, 1, 1)
    floor = torch.tensor([0.0, -1.0, 0.0]).reshape(3, 1, 1)
    assert KINDS["surface_normals"].draw(towards).flatten().tolist() == [128, 128, 255]
    assert KINDS["surface_normals"].draw(floor).flatten().tolist() == [128, 255, 128]


def test_pictures_of_classes_have_the_given_colours() -> None:
    task = replace(SemanticSegmentation(name="seg", classes=("a", "b")), colours=((1, 2, 3), (4, 5, 6)))
    assert task.draw(torch.tensor([[0, 1, 255]])).permute(1, 2, 0).tolist() == [[[1, 2, 3], [4, 5, 6], [0, 0, 0]]]


def test_distinct_classes_have_distinct_colours() -> None:
    task = SemanticSegmentation(name="seg", classes=tuple(str(i) for i in range(100)))
    picture = task.draw(torch.arange(100).reshape(1, 100))
    assert len(picture.unique(dim=2)[0, 0]) == 100


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("classification", torch.tensor(3)),
        ("semantic_segmentation", torch.full((HEIGHT, WIDTH), len(CLASSES))),
        ("parts", torch.full((HEIGHT, WIDTH), -3)),
        ("depth", torch.full((1, HEIGHT, WIDTH), torch.nan)),
        ("disparity", torch.full((1, HEIGHT, WIDTH), torch.nan)),
    ],
)
def test_what_is_no_label_can_be_drawn(kind: str, target: Tensor) -> None:
    task = KINDS[kind]
    assert task.faults(target)
    unknown = torch.full_like(target, task.ignore)
    assert torch.equal(task.draw(target), task.draw(unknown))


def test_near_is_drawn_brighter_than_far() -> None:
    near, far, unknown = KINDS["depth"].draw(torch.tensor([[[0.5, 9.0, 0.0]]])).float().mean(0)[0].tolist()
    assert near > far
    assert unknown == 128


@pytest.mark.parametrize(
    ("build", "argument"),
    [
        (lambda: SemanticSegmentation(name="seg"), "classes"),
        (lambda: SemanticSegmentation(name="seg", classes=("a",) * 256), "classes"),
        (lambda: SemanticSegmentation(name="seg", classes=("a", "b"), colours=((0, 0, 0),)), "colours"),
        (lambda: SurfaceNormals(name="n", average_over="images"), "average_over"),  # type: ignore[arg-type]
        (lambda: Edges(name="edge", positive_weight=1.0), "positive_weight"),
        (lambda: Classification(name="animal"), "classes"),
        (lambda: Regression(name="gap", std=0.0), "std"),
        (lambda: Regression(name="gap", scale=-1.0), "scale"),
        (lambda: Reconstruction(name="image", mean=(0.5, 0.5)), "mean` and `std"),
        (lambda: Reconstruction(name="image", std=(0.0,)), "std"),
        (lambda: Saliency(name="saliency", positive_weight=0.0), "positive_weight"),
        (lambda: Saliency(name="saliency", beta_squared=0.0), "beta_squared"),
    ],
)
def test_wrong_fields_are_named(build, argument: str) -> None:
    with pytest.raises(ValueError, match=f"`{argument}` should"):
        build()


def test_the_edge_metric_follows_the_task() -> None:
    metric = Edges(name="edge", max_distance=0.0075, thresholds=9).metrics()["odsf"]
    assert metric.max_distance == 0.0075
    assert len(metric.thresholds) == 9  # type: ignore[arg-type]


@pytest.mark.parametrize(("thresholds", "watched"), [(99, 19), (19, 19), (9, 9)])
def test_edges_are_watched_with_few_thresholds(thresholds: int, watched: int) -> None:
    task = Edges(name="edge", thresholds=thresholds).while_training()
    assert len(task.metrics()["odsf"].thresholds) == watched  # type: ignore[arg-type]
