"""Cityscapes, as it is downloaded and as the code of Gama & Grassi (2025) reduces it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from equipoise import data
from equipoise.data.datasets.cityscapes.trees import CATEGORIES, CLASSES, OfficialTree

HEIGHT, WIDTH = 32, 64
TRAIN_IDS = {number: index for index, (number, _, _) in enumerate(CLASSES)}
THINGS = {24, 25, 26, 27, 28, 31, 32, 33}


def arrays(seed: int) -> dict[str, np.ndarray]:
    """An image with its labels at full size, in blocks, as the authors store them."""
    generator = np.random.default_rng(seed)
    numbers = generator.integers(34, size=(HEIGHT // 4, WIDTH // 4)).repeat(4, 0).repeat(4, 1)
    which = generator.integers(4, size=(HEIGHT // 4, WIDTH // 4)).repeat(4, 0).repeat(4, 1)
    things = np.isin(numbers, sorted(THINGS))
    # A fourth of the things is in groups, which have no number of their own.
    instances = np.where(things & (which > 0), numbers * 1000 + which, numbers)
    disparity = generator.integers(0, 40000, size=(HEIGHT, WIDTH)) * (generator.random((HEIGHT, WIDTH)) < 0.8)
    return {
        "leftImg8bit": generator.integers(256, size=(HEIGHT, WIDTH, 3), dtype=np.uint8),
        "gtFine_labelIds": numbers.astype(np.uint8),
        "gtFine_instanceIds": instances.astype(np.uint16),
        "disparity": disparity.astype(np.uint16),
    }


PLAIN = "{name}"
NESTED = "{name}_trainvaltest/{name}"


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    def write(place: str = PLAIN, train: int = 10, val: int = 2) -> Path:
        for split, count in (("train", train), ("val", val)):
            for number in range(count):
                city = ("aachen", "zurich")[number % 2]
                for ending, pixels in arrays(number + 100 * (split == "val")).items():
                    folder = tmp_path / place.format(name=ending.split("_")[0]) / split / city
                    folder.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels).save(folder / f"{city}_{number:06d}_000019_{ending}.png")
        return tmp_path

    return write


@pytest.mark.parametrize("place", [PLAIN, NESTED, f"city_ori/{NESTED}"])
def test_official_trees(make: Callable[..., Path], place: str) -> None:
    root = make(place)
    splits = {
        split: data.create("cityscapes", root=root, split=split).identifiers for split in ("train", "val", "test")
    }
    assert {split: len(names) for split, names in splits.items()} == {"train": 8, "val": 2, "test": 2}
    assert len(set(splits["train"] + splits["val"])) == 10
    assert splits["test"] == ["val/aachen/aachen_000000_000019", "val/zurich/zurich_000001_000019"]
    assert data.check("cityscapes", root).faults == []


def test_the_split_is_that_of_paper_two(tmp_path: Path) -> None:
    folder = tmp_path / "train" / "aachen"
    folder.mkdir(parents=True)
    for number in range(2975):
        (folder / f"aachen_{number:06d}_000019_leftImg8bit.png").touch()
    tree = OfficialTree({"leftImg8bit": tmp_path, "gtFine": tmp_path, "disparity": tmp_path})
    train, val = tree.identify("train"), tree.identify("val")
    assert (len(train), len(val)) == (2380, 595)
    # The places of the first validation images in the sorted list of all, from the list of Gama & Grassi.
    found = [int(name.split("_")[1]) for name in val[:32]]
    assert found == [0, 3, 7, 21, 24, 25, 26, 63, 67, 84, 86, 91, 93, 94, 99, 100, 112, 126, 130, 136, 146, 151, 153,
                     160, 163, 164, 166, 168, 174, 176, 180, 197]  # fmt: skip


def test_encodings_at_full_size(make: Callable[..., Path]) -> None:
    dataset = data.create("cityscapes", root=make(), split="test", size=(HEIGHT, WIDTH))
    sample, stored = dataset[0], arrays(100)
    np.testing.assert_allclose(sample["image"].permute(1, 2, 0) * 255, stored["leftImg8bit"], atol=1e-4)
    numbers = stored["gtFine_labelIds"]
    np.testing.assert_array_equal(sample["seg"], np.vectorize(lambda number: TRAIN_IDS.get(number, 255))(numbers))
    p = stored["disparity"].astype(float)
    # In pixels of the small image, of whose width the full one has 2048.
    np.testing.assert_allclose(sample["disparity"][0], np.where(p > 0, (p - 1) / 256 / (2048 / WIDTH), 0), rtol=1e-6)
    thing = np.isin(numbers, sorted(THINGS))
    np.testing.assert_array_equal(sample["instance"].isfinite(), np.stack([thing, thing]))
    for number in np.unique(stored["gtFine_instanceIds"][thing]):
        rows, columns = np.nonzero(stored["gtFine_instanceIds"] == number)
        expected = np.stack([rows - rows.mean(), columns - columns.mean()])
        np.testing.assert_allclose(sample["instance"][:, rows, columns], expected, atol=1e-5)


def test_labels_and_disparities_are_reduced_alike(make: Callable[..., Path]) -> None:
    root = make()
    whole, small = (
        data.create("cityscapes", root=root, split="test", size=(HEIGHT // factor, WIDTH // factor))
        for factor in (1, 4)
    )
    assert {values.shape[-2:] for values in small[0].values()} == {(HEIGHT // 4, WIDTH // 4)}
    # The pixel right of and below the middle of each block, for both.
    assert torch.equal(small[0]["seg"], whole[0]["seg"][2::4, 2::4])
    torch.testing.assert_close(small[0]["disparity"], whole[0]["disparity"][:, 2::4, 2::4] / 4)
    blocks = whole[0]["image"].unfold(1, 4, 4).unfold(2, 4, 4).mean((-1, -2))
    assert (small[0]["image"] - blocks).abs().mean() < 0.06
    # Offsets are in pixels of the small image: a lone block of four has none left.
    assert small[0]["instance"][small[0]["instance"].isfinite()].abs().max() <= WIDTH // 4


def test_sizes(make: Callable[..., Path]) -> None:
    root = make()
    assert data.create("cityscapes", root=root, tasks=["seg"])[0]["seg"].shape == (256, 512)
    assert data.create("cityscapes", root=root, tasks=["seg"], size=(128, 256))[0]["seg"].shape == (128, 256)
    with pytest.raises(ValueError, match=r"`size` should be \(height, width\)"):
        data.create("cityscapes", root=root, size=(0, 5))


def test_seven_categories(make: Callable[..., Path]) -> None:
    root = make()
    fine, coarse = (
        data.create("cityscapes", root=root, tasks=["seg"], size=(HEIGHT, WIDTH), classes=count) for count in (19, 7)
    )
    assert coarse.active_tasks["seg"].classes == ("flat", "construction", "object", "nature", "sky", "human", "vehicle")
    category = {index: number for number, (_, group) in enumerate(CATEGORIES) for index in group} | {255: 255}
    expected = fine[0]["seg"].apply_(lambda index: category[index])
    assert torch.equal(coarse[0]["seg"], expected)
    assert data.tasks("cityscapes", ["seg"], classes=7)["seg"].channels == 7
    with pytest.raises(ValueError, match="`classes` should be 7 or 19"):
        data.create("cityscapes", root=root, classes=8)


def test_instances_follow_a_crop(make: Callable[..., Path]) -> None:
    torch.manual_seed(0)
    crop = data.transforms.RandomCrop((HEIGHT, 20))
    dataset = data.create("cityscapes", root=make(), split="test", size=(HEIGHT, WIDTH), transform=crop)
    offsets = dataset[0]["instance"]
    assert offsets.shape == (2, HEIGHT, 20)
    # Positions relative to the middles of what is left sum to nothing.
    assert abs(offsets[offsets.isfinite()].sum().item()) < 1e-2


def preprocess(root: Path, split: str, number: int) -> dict[str, np.ndarray]:
    """Write a sample of this size as their code reduces it."""
    stored = arrays(number)
    image = (stored["leftImg8bit"].astype(np.float16) / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    classes = np.vectorize(lambda label: TRAIN_IDS.get(label, -1))(stored["gtFine_labelIds"])
    p = stored["disparity"].astype(np.float32)
    parts = {
        "image": image.transpose(2, 0, 1).astype(np.float16),
        "semantic": classes.astype(np.int16),
        "instance": stored["gtFine_instanceIds"].astype(np.int16),
        "disparity": np.where(p > 0, (p - 1) / (256.0 * 2048 / WIDTH), 0).astype(np.float32),
    }
    for name, values in parts.items():
        folder = root / name / split
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{number}.npy", values)
    return stored


@pytest.fixture
def preprocessed(tmp_path: Path) -> Path:
    root = tmp_path / f"city_preprocess_{WIDTH}_{HEIGHT}"
    for split, count in (("train", 11), ("val", 2), ("test", 2)):
        for number in range(count):
            preprocess(root, split, number)
    return root


def test_preprocessed_tree_holds_the_same(preprocessed: Path, make: Callable[..., Path]) -> None:
    small = data.create("cityscapes", root=preprocessed)
    assert small.identifiers == [f"train/{number}" for number in range(11)]
    root, compared = make(), 0
    for split in ("train", "val"):
        official = data.create("cityscapes", root=root, split=split, size=(HEIGHT, WIDTH))
        for index, name in enumerate(official.identifiers):
            number = int(name.split("_")[1])
            for key, values in official[index].items():
                torch.testing.assert_close(small[number][key], values, rtol=1e-6, atol=0)
            compared += 1
    assert compared == 10
    assert data.check("cityscapes", preprocessed).ok


@pytest.mark.parametrize(
    ("part", "values", "words"),
    [
        ("image", np.zeros((HEIGHT, WIDTH), np.float16), r"should have the shape \(3, height, width\)"),
        ("semantic", np.full((HEIGHT, WIDTH), 19, np.int16), "should hold classes from -1 to 18; it holds 19 to 19"),
        ("semantic", np.zeros((HEIGHT, WIDTH - 1), np.int16), "should have the size of its image"),
        ("semantic", np.full((HEIGHT, WIDTH), 0.5, np.float32), "should hold whole numbers"),
        ("image", np.full((3, HEIGHT, WIDTH), np.nan, np.float16), "should hold finite numbers"),
        ("instance", np.full((HEIGHT, WIDTH), -100, np.int16), "should hold classes from 0 to 33"),
        ("disparity", np.array(["a"]), "should hold one array of numbers"),
    ],
)
def test_wrong_preprocessed_files_are_named(preprocessed: Path, part: str, values: np.ndarray, words: str) -> None:
    np.save(preprocessed / part / "val" / "1.npy", values)
    with pytest.raises(data.DatasetError, match=rf"{part}/val/1.npy: {words}"):
        data.create("cityscapes", root=preprocessed, split="val")[1]


def test_a_list_of_another_length_is_a_fault(preprocessed: Path) -> None:
    count = len(data.create("cityscapes", root=preprocessed, split="train"))
    (preprocessed / "train.txt").write_text("x.png\n" * count)
    assert data.check("cityscapes", preprocessed).ok
    (preprocessed / "train.txt").write_text("x.png\n" * (count + 1))
    (fault,) = data.check("cityscapes", preprocessed).faults
    assert str(fault) == f"{preprocessed}/train.txt: lists {count + 1} images; there are {count}"


def overwrite(path: Path, change: Callable[[np.ndarray], np.ndarray] | bytes | None) -> None:
    if change is None:
        path.unlink()
    elif isinstance(change, bytes):
        path.write_bytes(change)
    else:
        with Image.open(path) as image:
            changed = change(np.array(image))
        Image.fromarray(changed).save(path)


@pytest.mark.parametrize(
    ("ending", "change", "words"),
    [
        ("leftImg8bit", None, "is missing"),
        ("disparity", None, "is missing"),
        ("gtFine_labelIds", b"", "cannot be read"),
        ("gtFine_labelIds", lambda pixels: pixels * 0 + 40, r"should hold classes from 0 to 33; it holds \[40\]"),
        ("gtFine_labelIds", lambda pixels: np.stack([pixels] * 3, -1), "should have one channel of 8 bits"),
        ("gtFine_instanceIds", lambda pixels: pixels.astype(np.uint8), "should have one channel of 16 bits"),
        ("gtFine_instanceIds", lambda pixels: pixels * 0 + 40001, r"classes from 0 to 33; it holds \[40\]"),
        ("disparity", lambda pixels: (pixels // 256).astype(np.uint8), "should have one channel of 16 bits"),
        ("disparity", lambda pixels: pixels[:, :-1], r"should have the size of its image, \(32, 64\)"),
    ],
)
def test_wrong_official_files_are_named(
    make: Callable[..., Path], ending: str, change: Callable[[np.ndarray], np.ndarray] | bytes | None, words: str
) -> None:
    root = make()
    path = root / ending.split("_")[0] / "val" / "zurich" / f"zurich_000001_000019_{ending}.png"
    overwrite(path, change)
    with pytest.raises(data.DatasetError, match=words) as caught:
        data.create("cityscapes", root=root, split="test")[1]
    assert caught.value.path == path
    faults = data.check("cityscapes", root, splits=["test"]).faults
    assert {fault.path for fault in faults} == {path}


def test_half_a_dataset_is_a_fault(make: Callable[..., Path]) -> None:
    root = make(train=3, val=60)
    faults = data.check("cityscapes", root, tasks=["seg"], size=(4, 8), splits=["train", "test"]).faults
    assert [fault.what.split(". Get")[0] for fault in faults] == ["should list 500 images; it lists 60"]


def test_a_directory_of_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(data.DatasetError, match=r"holds neither `leftImg8bit` nor .*cityscapes-dataset.com"):
        data.create("cityscapes", root=tmp_path)


def test_a_single_image_is_for_training(make: Callable[..., Path]) -> None:
    report = data.check("cityscapes", make(train=1, val=1), size=(4, 8))
    assert report.ok
    assert {name: split.samples for name, split in report.splits.items()} == {"train": 1, "test": 1}


def test_a_split_without_images_is_named(make: Callable[..., Path]) -> None:
    root = make(val=0)
    with pytest.raises(data.DatasetError, match="has no samples of the split 'test'"):
        data.create("cityscapes", root=root, split="test")


@pytest.mark.parametrize("place", [PLAIN, f"city_ori/{NESTED}"])
def test_the_fingerprint_follows_the_files(
    make: Callable[..., Path], place: str, assert_fingerprint_follows: Callable[..., None]
) -> None:
    root = make(place)
    before = data.fingerprint("cityscapes", root)
    fine = root / place.format(name="gtFine") / "train" / "aachen"
    (fine / "aachen_000000_000019_gtFine_polygons.json").write_text("not read")
    assert data.fingerprint("cityscapes", root) == before
    ids = "val/zurich/zurich_000001_000019"
    files = [f"{place.format(name=name.split('_')[0])}/{ids}_{name}.png" for name in arrays(0)]
    assert_fingerprint_follows("cityscapes", root, files=files, options={"classes": 7, "size": (8, 16)})


def test_the_fingerprint_of_a_preprocessed_tree(
    preprocessed: Path, assert_fingerprint_follows: Callable[..., None]
) -> None:
    (preprocessed / "train.txt").write_text("leftImg8bit/train/aachen\n")
    assert_fingerprint_follows(
        "cityscapes",
        preprocessed,
        files=["image/train/0.npy", "disparity/val/0.npy"],
        lists={"train.txt": ("aachen", "bochum")},
        options={"classes": 7},
    )
