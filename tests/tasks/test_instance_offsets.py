"""Tests of offsets to the centre of an object, and of disparities."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from equipoise.data.transforms import Compose, RandomCrop, RandomHorizontalFlip, RandomRotation, RandomScale
from equipoise.tasks.disparity import Disparity
from equipoise.tasks.instance_offsets import InstanceOffsets

TASK = InstanceOffsets(name="instance")


def numbers(height: int, width: int, seed: int) -> Tensor:
    """Instance numbers, of objects in pieces, with holes; large ones as in Cityscapes."""
    generator = torch.Generator().manual_seed(seed)
    numbered = torch.randint(0, 4, (1, height, width), generator=generator).float() * 11000
    return numbered.masked_fill(torch.rand(1, height, width, generator=generator) < 0.4, torch.inf)


@settings(deadline=None, max_examples=30)
@given(height=st.integers(1, 12), width=st.integers(1, 12), seed=st.integers(0, 1000))
def test_offsets_are_positions_minus_their_mean(height: int, width: int, seed: int) -> None:
    numbered = numbers(height, width, seed)
    pixels: dict[float, list[tuple[int, int]]] = {}
    for row in range(height):
        for column in range(width):
            if math.isfinite(number := numbered[0, row, column].item()):
                pixels.setdefault(number, []).append((row, column))
    expected = torch.full((2, height, width), torch.inf)
    for places in pixels.values():
        for row, column in places:
            expected[0, row, column] = row - sum(place[0] for place in places) / len(places)
            expected[1, row, column] = column - sum(place[1] for place in places) / len(places)
    torch.testing.assert_close(TASK.finish(numbered), expected, rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000))
def test_offsets_follow_what_transforms_leave_of_an_object(seed: int) -> None:
    torch.manual_seed(seed)
    sample = {"image": torch.rand(3, 20, 30), "instance": numbers(20, 30, seed)}
    transform = Compose((RandomRotation(10.0), RandomScale(), RandomCrop((24, 24)), RandomHorizontalFlip()))
    left = transform(sample, {"instance": TASK})["instance"]
    assert left.shape == (1, 24, 24)
    offsets = TASK.finish(left)
    for number in left[left.isfinite()].unique():
        inside = left[0] == number
        torch.testing.assert_close(offsets[:, inside].mean(1), torch.zeros(2), atol=1e-4, rtol=0)
    assert torch.equal(TASK.valid(offsets), TASK.valid(left))


def test_an_offset_of_minus_one_counts() -> None:
    offsets = TASK.finish(torch.tensor([[[5.0, 5.0, 5.0, torch.inf]]]))[None]
    assert offsets[0, 1].tolist() == [[-1, 0, 1, torch.inf]]
    # Both coordinates of three pixels count: the error is 1 in one of six values.
    prediction = torch.zeros(1, 2, 1, 4)
    prediction[0, 1, 0, 2] = 1
    torch.testing.assert_close(TASK.loss(prediction, offsets), torch.tensor(1 / 6))
    metric = TASK.metrics()["abs"]
    metric.update(prediction, offsets)
    torch.testing.assert_close(metric.compute(), torch.tensor(1 / 6))


def test_an_image_without_objects_has_no_labels() -> None:
    nothing = torch.full((1, 3, 4), torch.inf)
    assert TASK.finish(nothing).shape == (2, 3, 4)
    assert not TASK.has_labels(TASK.finish(nothing))


def test_disparity_grows_as_objects_come_nearer() -> None:
    task = Disparity(name="disparity")
    assert task.zoom(torch.tensor([[[3.0, 0.0]]]), 1.5).tolist() == [[[4.5, 0.0]]]


def test_disparity_is_measured_absolutely_and_relatively() -> None:
    metrics = Disparity(name="disparity").metrics()
    for metric in metrics.values():
        metric.update(torch.tensor([[[[1.0, 8.0, 3.0]]]]), torch.tensor([[[[2.0, 4.0, 0.0]]]]))
    assert {name: metric.compute().item() for name, metric in metrics.items()} == {"abs": 2.5, "rel": 0.75}
