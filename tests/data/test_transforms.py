"""Joint transforms keep an image and its targets together."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from equipoise.data.base import Sample, Transform
from equipoise.data.transforms import (
    IMAGENET_MEAN,
    ColourJitter,
    Compose,
    Normalize,
    Pad,
    RandomCrop,
    RandomHorizontalFlip,
    RandomScale,
    Resize,
)
from equipoise.tasks import Task
from equipoise.tasks.depth import Depth
from equipoise.tasks.edges import Edges
from equipoise.tasks.semantic_segmentation import SemanticSegmentation
from equipoise.tasks.surface_normals import SurfaceNormals

CLASSES = 8
TASKS: dict[str, Task] = {
    "seg": SemanticSegmentation(name="seg", classes=tuple("abcdefgh")),
    "depth": Depth(name="depth"),
    "normals": SurfaceNormals(name="normals"),
    "edge": Edges(name="edge"),
}

GEOMETRIC: dict[str, Callable[[int, int], Transform]] = {
    "flip": lambda height, width: RandomHorizontalFlip(1.0),
    "maybe flip": lambda height, width: RandomHorizontalFlip(),
    "scale": lambda height, width: RandomScale(),
    "crop": lambda height, width: RandomCrop((height, width)),
    "pad": lambda height, width: Pad((height, width)),
    "resize": lambda height, width: Resize((height, width)),
    "all": lambda height, width: Compose((RandomScale(), RandomCrop((height, width)), RandomHorizontalFlip())),
}
every_transform = pytest.mark.parametrize("transform", sorted(GEOMETRIC))
sides = st.integers(16, 90)
seeds = st.integers(0, 2**31)


def blocks(height: int, width: int, *, block: int = 9) -> Sample:
    """A sample of large blocks, each of one class; image, depth and normals are functions of the class."""
    coarse = torch.randint(CLASSES, (-(-height // block), -(-width // block)))
    seg = coarse.repeat_interleave(block, 0).repeat_interleave(block, 1)[:height, :width]
    shade = seg.float() / (CLASSES - 1)
    angle = shade * 2 - 1
    return {
        "image": torch.stack([shade, 1 - shade, shade**2]),
        "seg": seg,
        "depth": (1 + seg.float())[None],
        "normals": torch.stack([angle.sin(), torch.zeros_like(angle), -angle.cos()]),
        "edge": (seg % 2).float()[None],
    }


def inside(seg: torch.Tensor) -> torch.Tensor:
    """Pixels far enough from the border of a block that no interpolation mixes colours there."""
    padded = functional.pad(seg[None].float(), (3, 3, 3, 3), value=-1)
    smallest = -functional.max_pool2d(-padded, 7, 1)
    largest = functional.max_pool2d(padded, 7, 1)
    return ((smallest == largest)[0]) & (seg != 255)


@every_transform
@given(height=sides, width=sides, seed=seeds)
@settings(max_examples=20, deadline=None)
def test_targets_stay_with_the_image(transform: str, height: int, width: int, seed: int) -> None:
    torch.manual_seed(seed)
    before = blocks(60, 70)
    after = GEOMETRIC[transform](height, width)(before, TASKS)
    size = after["image"].shape[-2:]
    assert all(after[name].shape[-2:] == size for name in TASKS)

    seg = after["seg"]
    safe, valid = inside(seg), seg != 255
    shade = seg.float() / (CLASSES - 1)
    torch.testing.assert_close(after["image"][0][safe], shade[safe], atol=2e-5, rtol=0)
    assert torch.equal(TASKS["edge"].valid(after["edge"])[0], valid)
    assert torch.equal(after["edge"][0][valid], (seg % 2).float()[valid])
    # One factor for all depths; what is unlabelled stays so.
    assert torch.equal(TASKS["depth"].valid(after["depth"])[0], valid)
    factors = (1 + seg.float())[valid] / after["depth"][0][valid]
    torch.testing.assert_close(factors, factors[:1].expand_as(factors))
    # A flip negates x, which is the sign of the angle; the rest of the vector is the class's.
    length = after["normals"].norm(dim=0)
    torch.testing.assert_close(length, valid.float())
    torch.testing.assert_close(after["normals"][2][valid], -(shade * 2 - 1).cos()[valid])
    torch.testing.assert_close(after["normals"][0][valid].abs(), (shade * 2 - 1).sin()[valid].abs())


@every_transform
def test_same_seed_same_result(transform: str) -> None:
    sample = blocks(40, 50)
    apply = Compose((GEOMETRIC[transform](32, 60), ColourJitter(), Normalize()))
    results = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        results.append(apply(sample, TASKS))
    assert all(torch.equal(results[0][key], results[1][key]) for key in sample)
    assert not torch.equal(results[0]["image"], results[2]["image"])


@every_transform
def test_the_sample_given_is_left_alone(transform: str) -> None:
    sample = blocks(40, 50)
    copies = {key: values.clone() for key, values in sample.items()}
    Compose((GEOMETRIC[transform](60, 30), ColourJitter(), Normalize()))(sample, TASKS)
    assert sample.keys() == copies.keys()
    assert all(torch.equal(sample[key], copies[key]) for key in sample)


@every_transform
def test_missing_labels_stay_missing(transform: str) -> None:
    sample = {key: values for key, values in blocks(40, 50).items() if key in ("image", "depth")}
    assert GEOMETRIC[transform](32, 60)(sample, TASKS).keys() == {"image", "depth"}


def test_flip_twice_is_the_identity() -> None:
    sample, flip = blocks(20, 31), RandomHorizontalFlip(1.0)
    once = flip(sample, TASKS)
    twice = flip(once, TASKS)
    assert all(torch.equal(twice[key], sample[key]) for key in sample)
    assert not any(torch.equal(once[key], sample[key]) for key in sample)
    torch.testing.assert_close(once["normals"][0], -sample["normals"][0].flip(-1))


def test_flips_about_as_often_as_said() -> None:
    torch.manual_seed(0)
    sample, flip = blocks(4, 20, block=2), RandomHorizontalFlip(0.25)
    flipped = sum(not torch.equal(flip(sample, TASKS)["image"], sample["image"]) for _ in range(400))
    assert 60 < flipped < 140


@given(factor=st.floats(0.3, 3))
@settings(max_examples=20, deadline=None)
def test_scale_changes_size_and_depth(factor: float) -> None:
    sample = blocks(40, 50)
    scaled = RandomScale(factor, factor)(sample, TASKS)
    assert scaled["image"].shape[-2:] == (int(40 * factor), int(50 * factor))
    expected = (1 + scaled["seg"].float()[None]) / factor
    torch.testing.assert_close(scaled["depth"], expected)


def test_scale_covers_its_range() -> None:
    torch.manual_seed(0)
    sample = {"image": torch.rand(3, 100, 10)}
    heights = [RandomScale(0.5, 2.0)(sample, TASKS)["image"].shape[-2] for _ in range(200)]
    assert 50 <= min(heights) < 60
    assert 190 < max(heights) <= 200


def test_resize_keeps_depth() -> None:
    resized = Resize((20, 80))(blocks(40, 50), TASKS)
    torch.testing.assert_close(resized["depth"], 1 + resized["seg"].float()[None])


def test_resize_to_the_same_size_changes_nothing() -> None:
    sample = blocks(40, 50)
    resized = Resize((40, 50))(sample, TASKS)
    for key in sample:
        torch.testing.assert_close(resized[key], sample[key])


def test_padding_is_centred_and_ignored() -> None:
    sample = blocks(4, 5, block=2)
    padded = Pad((7, 6))(sample, TASKS)
    rows, columns = slice(1, 5), slice(0, 5)
    hole = torch.ones(7, 6, dtype=torch.bool)
    hole[rows, columns] = False
    for name, task in TASKS.items():
        torch.testing.assert_close(padded[name][..., rows, columns], sample[name])
        assert (padded[name][..., hole] == task.ignore).all()
        assert not task.valid(padded[name])[..., hole].any()
    assert Normalize()(padded, TASKS)["image"][:, hole].abs().max() == 0


def test_padding_of_what_is_large_enough() -> None:
    sample = blocks(9, 9)
    assert Pad((9, 4))(sample, TASKS) is sample


def test_crops_reach_every_place() -> None:
    torch.manual_seed(0)
    sample = {"image": torch.arange(3 * 4 * 5.0).reshape(3, 4, 5)}
    corners = {RandomCrop((2, 2))(sample, TASKS)["image"][0, 0, 0].item() for _ in range(300)}
    assert corners == {float(row * 5 + column) for row in range(3) for column in range(4)}


def test_normalize() -> None:
    mean = torch.tensor(IMAGENET_MEAN)[:, None, None]
    image = Normalize()({"image": mean.expand(3, 2, 2) + 0.1}, TASKS)["image"]
    torch.testing.assert_close(image[:, 0, 0], torch.tensor([0.1 / 0.229, 0.1 / 0.224, 0.1 / 0.225]))


def test_jitter_stays_in_range_and_touches_the_image_alone() -> None:
    torch.manual_seed(0)
    sample = blocks(20, 20)
    jittered = ColourJitter()(sample, TASKS)
    assert jittered["image"].min() >= 0
    assert jittered["image"].max() <= 1
    assert not torch.equal(jittered["image"], sample["image"])
    assert all(jittered[name] is sample[name] for name in TASKS)


@pytest.mark.parametrize(
    ("build", "argument"),
    [
        (lambda: Resize((0, 5)), "size"),
        (lambda: RandomCrop((5,)), "size"),  # type: ignore[arg-type]
        (lambda: Pad((5, -1)), "size"),
        (lambda: RandomScale(2.0, 1.0), "smallest"),
        (lambda: RandomScale(0.0, 1.0), "smallest"),
        (lambda: RandomHorizontalFlip(1.5), "probability"),
        (lambda: ColourJitter(hue=0.7), "hue"),
    ],
)
def test_wrong_arguments_are_named(build: Callable[[], Transform], argument: str) -> None:
    with pytest.raises(ValueError, match=argument):
        build()
