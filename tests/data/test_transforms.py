"""Joint transforms keep an image and its targets together."""

import colorsys
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from equipoise.data.core.sample import Sample, Transform
from equipoise.data.transforms import (
    IMAGENET_MEAN,
    RECIPES,
    Between,
    ColourJitter,
    Compose,
    Normalize,
    OneOf,
    Pad,
    PhotometricDistortion,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomScale,
    RandomWindow,
    Resize,
    recipe_t,
)
from equipoise.data.transforms.colours import saturate
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
    "flatten": lambda height, width: RandomScale(0.5, 2.0, "flattened"),
    "window": lambda height, width: RandomWindow((height, width), largest_share=0.75),
    "rotate": lambda height, width: RandomRotation(45.0),
    "rotate and zoom": lambda height, width: RandomRotation(20.0, Between(0.75, 1.25)),
    "zoom": lambda height, width: RandomRotation(0.0, OneOf((1.0, 1.2, 1.5))),
    # Without the colours: these tests know which colour belongs to which class.
    "T": lambda height, width: Compose(
        tuple(one for one in recipe_t((height, width)).training if not isinstance(one, PhotometricDistortion))
    ),
    "R_nyud": lambda height, width: Compose(RECIPES["R_nyud"]((height, width)).training),
    "R_pascal": lambda height, width: Compose(RECIPES["R_pascal"]((height, width)).training),
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
    length = after["normals"].norm(dim=0)
    torch.testing.assert_close(length, valid.float())
    if transform == "flatten":
        return
    # A flip negates x and a rotation turns x and y; z, and with it the length of the other two, is the class's.
    torch.testing.assert_close(after["normals"][2][valid], -(shade * 2 - 1).cos()[valid])
    torch.testing.assert_close(
        after["normals"][:2].norm(dim=0)[valid], (shade * 2 - 1).sin()[valid].abs(), atol=1e-6, rtol=1e-5
    )


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


@given(height=sides, width=sides, seed=seeds)
@settings(max_examples=20, deadline=None)
def test_flip_twice_is_the_identity(height: int, width: int, seed: int) -> None:
    torch.manual_seed(seed)
    sample, flip = blocks(height, width), RandomHorizontalFlip(1.0)
    once = flip(sample, TASKS)
    twice = flip(once, TASKS)
    assert all(torch.equal(twice[key], sample[key]) for key in sample)
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


@given(
    factor=st.floats(0.3, 3),
    normal=st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, -0.1)),
    across=st.floats(-1, 1),
    down=st.floats(-1, 1),
)
@settings(max_examples=50, deadline=None)
def test_flattened_normals_stand_on_the_flattened_surface(
    factor: float, normal: tuple[float, float, float], across: float, down: float
) -> None:
    x, y, z = (value / math.hypot(*normal) for value in normal)
    # Any direction in the surface, which loses depth as all that is seen does.
    along = torch.tensor([across, down, -(x * across + y * down) / z / factor])
    sample = {"image": torch.rand(3, 4, 4), "normals": torch.tensor([x, y, z])[:, None, None].expand(3, 4, 4)}
    flattened = RandomScale(factor, factor, "flattened")(sample, TASKS)["normals"][:, 0, 0]
    torch.testing.assert_close(flattened @ along, torch.tensor(0.0), atol=1e-5, rtol=0)
    kept = RandomScale(factor, factor)(sample, TASKS)["normals"][:, 0, 0]
    torch.testing.assert_close(kept, torch.tensor([x, y, z]))


@given(seed=seeds, zoom=st.floats(0.8, 1.5))
@settings(max_examples=20, deadline=None)
def test_rotation_turns_normals_with_the_image(seed: int, zoom: float) -> None:
    """Normals that all point away from the middle still do so, whatever the angle."""
    torch.manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(41.0) - 20, indexing="ij")
    radius = torch.hypot(rows, columns)
    away = torch.stack([columns / radius, rows / radius, -torch.ones_like(radius)]) / math.sqrt(2)
    far = (radius > 8) & (radius < 15)
    sample = {"image": torch.rand(3, 41, 41), "normals": away.where(radius > 0, 0)}
    turned = RandomRotation(180.0, OneOf((zoom,)))(sample, TASKS)["normals"]
    # The nearest pixel is up to 0.7 pixels away, which is an angle at a radius of 8 pixels.
    assert ((turned * away).sum(dim=0)[far] > math.cos(0.1)).all()


def test_zoom_enlarges_about_the_middle() -> None:
    seg = torch.zeros(40, 40, dtype=torch.int64)
    seg[10:30, 10:30] = 3
    sample = {"image": torch.rand(3, 40, 40), "seg": seg, "depth": torch.full((1, 40, 40), 3.0)}
    zoomed = RandomRotation(0.0, OneOf((1.5,)))(sample, TASKS)
    assert (zoomed["seg"] == 3).sum() == 900
    assert (zoomed["seg"][5:35, 5:35] == 3).all()
    torch.testing.assert_close(zoomed["depth"], torch.full((1, 40, 40), 2.0))


def test_what_comes_from_outside_is_ignored() -> None:
    sample = blocks(30, 40)
    shrunk = RandomRotation(0.0, OneOf((0.5,)))(sample, TASKS)
    hole = torch.ones(30, 40, dtype=torch.bool)
    hole[7:23, 10:30] = False
    for name, task in TASKS.items():
        assert (shrunk[name][..., hole] == task.ignore).all()
        assert task.valid(shrunk[name])[..., 9:21, 12:28].float().mean() > 0.8
    torch.testing.assert_close(shrunk["image"][:, 0, 0], torch.tensor(IMAGENET_MEAN))


def test_zooms_are_drawn_from_all() -> None:
    torch.manual_seed(0)
    sample = {"image": torch.rand(3, 4, 4), "depth": torch.ones(1, 4, 4)}
    zoom = RandomRotation(0.0, OneOf((1.0, 1.25, 2.0)))
    found = {zoom(sample, TASKS)["depth"].max().item() for _ in range(60)}
    assert found == {1.0, 0.800000011920929, 0.5}


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


def test_windows_are_drawn_again_where_one_class_covers_too_much() -> None:
    torch.manual_seed(0)
    seg = torch.zeros(20, 200, dtype=torch.int64)
    seg[:, 160:] = 1
    seg[:, 90:] = seg[:, 90:].where(torch.rand(20, 110) > 0.8, 255)
    sample = {"image": torch.rand(3, 20, 200), "seg": seg}

    def varied(window: RandomWindow, tasks: dict[str, Task]) -> int:
        count = 0
        for _ in range(100):
            labels = window(sample, tasks)["seg"]
            labels = labels[labels != 255]
            shares = labels.bincount(minlength=2) / labels.numel()
            count += bool(shares.max() < 0.75)
        return count

    assert varied(RandomWindow((20, 20)), TASKS) < 20
    assert varied(RandomWindow((20, 20), largest_share=0.75), TASKS) > 40
    assert varied(RandomWindow((20, 20), largest_share=0.75, classes_of="parts"), TASKS) < 20


def test_a_class_that_covers_exactly_the_share_covers_too_much() -> None:
    torch.manual_seed(0)
    # The outermost two of the five windows have three of four pixels of one class.
    sample = {"image": torch.rand(3, 1, 8), "seg": torch.tensor([[0, 0, 0, 1, 1, 0, 0, 0]])}
    windows = [RandomWindow((1, 4), largest_share=0.75)(sample, TASKS)["seg"] for _ in range(50)]
    assert {int(window.sum()) for window in windows} == {2}


def test_a_window_without_labels_is_still_a_window() -> None:
    sample = {"image": torch.rand(3, 8, 8), "seg": torch.full((8, 8), 255)}
    assert RandomWindow((4, 12), largest_share=0.75)(sample, TASKS)["seg"].shape == (4, 8)


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


@given(seed=seeds, factor=st.floats(0.5, 1.5))
@settings(max_examples=30, deadline=None)
def test_saturation_is_that_of_hsv(seed: int, factor: float) -> None:
    colours = torch.rand(3, 1, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    colours[:, 0, 0] = 0.5
    colours[:, 0, 1] = 0
    expected = []
    for red, green, blue in colours[:, 0].T.tolist():
        hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        expected.append(colorsys.hsv_to_rgb(hue, min(1, factor * saturation), value))
    torch.testing.assert_close(saturate(colours, factor)[:, 0].T, torch.tensor(expected, dtype=torch.float64))


def test_photometric_distortion_changes_each_thing_about_as_often_as_said() -> None:
    torch.manual_seed(0)
    sample = {"image": torch.tensor([0.5, 0.4, 0.3]).reshape(3, 1, 1)}
    found = [PhotometricDistortion()(sample, TASKS)["image"].flatten().tolist() for _ in range(800)]
    hues, saturations, values = torch.tensor([colorsys.rgb_to_hsv(*one) for one in found]).unbind(1)
    hue, saturation, value = colorsys.rgb_to_hsv(0.5, 0.4, 0.3)
    assert 0.4 < ((hues - hue).abs() > 1e-4).float().mean() < 0.6
    shifts = (hues - hue + 0.5) % 1 - 0.5
    assert 0.09 < shifts.max() <= 0.1001
    assert -0.1001 <= shifts.min() < -0.09
    # Neither brightness nor contrast happen to a quarter; brightness alone changes saturation too.
    assert 0.2 < ((values - value).abs() < 1e-4).float().mean() < 0.3
    assert 0.2 < ((saturations - saturation).abs() < 1e-4).float().mean() < 0.3
    assert min(min(one) for one in found) >= 0
    assert max(max(one) for one in found) <= 1
    assert PhotometricDistortion(0.0)(sample, TASKS)["image"].equal(sample["image"])


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_recipes_make_batches(recipe: str) -> None:
    preset = RECIPES[recipe]((40, 48))
    torch.manual_seed(0)
    for height, width in ((30, 60), (40, 48), (36, 36)):
        sample = blocks(height, width)
        for _ in range(3):
            trained = Compose(preset.training)(sample, TASKS)
            assert all(values.shape[-2:] == (40, 48) for values in trained.values())
            assert 0 <= trained["image"].min() < trained["image"].max() <= 1
        evaluated, again = (Compose(preset.evaluation)(sample, TASKS) for _ in range(2))
        assert all(torch.equal(evaluated[key], again[key]) for key in sample)
        if recipe != "T":
            assert all(values.shape[-2:] == (40, 48) for values in evaluated.values())
        for name, task in TASKS.items():
            assert task.faults(trained[name]) == task.faults(evaluated[name]) == []


def test_margins_of_recipe_t_become_zero() -> None:
    torch.manual_seed(0)
    preset = recipe_t((40, 40))
    for _ in range(10):
        sample = Compose((*preset.training, Normalize()))(blocks(19, 19), TASKS)
        margin = sample["seg"] == 255
        assert margin.any()
        assert sample["image"][:, margin].abs().max() == 0
    # Evaluated images keep their resolution.
    evaluated = Compose(preset.evaluation)(blocks(19, 45), TASKS)
    assert evaluated["image"].shape == (3, 40, 45)


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
        (lambda: RandomScale(geometry="farther"), "geometry"),  # type: ignore[arg-type]
        (lambda: RandomWindow((0, 4)), "size"),
        (lambda: RandomWindow((4, 4), largest_share=0.0), "largest_share"),
        (lambda: RandomRotation(200.0), "degrees"),
        (lambda: RandomRotation(0.0, OneOf((0.0, 1.0))), "zoom"),
        (lambda: RandomRotation(0.0, Between(2.0, 1.0)), "zoom"),
        (lambda: PhotometricDistortion(2.0), "probability"),
    ],
)
def test_wrong_arguments_are_named(build: Callable[[], Transform], argument: str) -> None:
    with pytest.raises(ValueError, match=argument):
        build()
