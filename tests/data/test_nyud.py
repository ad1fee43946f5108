"""The reader of the public multi-task NYUD trees, in all their generations."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from equipoise import data

TRAIN = ("0003", "0004", "0005", "0009", "0010", "0012")
TEST = ("0001", "0002")
HEIGHT, WIDTH = 10, 14
GENERATIONS = ("astmt", "mti", "atrc")


class Truth:
    """The content of the files of one image, whatever their encoding."""

    def __init__(self, number: str) -> None:
        generator = np.random.default_rng(int(number))
        self.image = generator.integers(256, size=(HEIGHT, WIDTH, 3), dtype=np.uint8)
        self.labels = generator.integers(41, size=(HEIGHT, WIDTH), dtype=np.uint8)
        self.labels[0, :2] = 0, 40
        self.depth = generator.uniform(0.7, 9.9, (HEIGHT, WIDTH))
        self.depth[3, 4] = 0
        directions = generator.normal(size=(HEIGHT, WIDTH, 3))
        self.normals = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
        self.normals[2, 5] = 0
        self.edges = generator.random((HEIGHT, WIDTH)) < 0.1


def picture(path: Path, values: NDArray[np.generic], **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values)).save(path, **options)


def numbers(path: Path, values: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)


def matrix(path: Path, key: str, values: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {key: values})


def coloured(normals: NDArray[np.float64]) -> NDArray[np.uint8]:
    return ((normals + 1) / 2 * 255).round().astype(np.uint8)


def write_astmt(root: Path, number: str, truth: Truth) -> None:
    picture(root / "images" / f"{number}.jpg", truth.image)
    matrix(root / "segmentation" / f"{number}.mat", "segmentation", truth.labels.astype(float))
    matrix(root / "depth" / f"{number}.mat", "depth", truth.depth)
    # Smooth, as JPEG would spoil noise.
    picture(root / "normals" / f"{number}.jpg", coloured(np.broadcast_to(truth.normals[0, 0], truth.normals.shape)))
    picture(root / "edge" / f"{number}.png", truth.edges * np.uint8(255))


def write_mti(root: Path, number: str, truth: Truth) -> None:
    picture(root / "images" / f"{number}.jpg", truth.image)
    picture(root / "segmentation" / f"{number}.png", truth.labels)
    numbers(root / "depth" / f"{number}.npy", truth.depth)
    numbers(root / "normals" / f"{number}.npy", truth.normals.astype(np.float32))
    numbers(root / "edge" / f"{number}.npy", truth.edges.astype(np.uint8))


def write_atrc(root: Path, number: str, truth: Truth) -> None:
    picture(root / "images" / f"{number}.png", truth.image)
    picture(root / "segmentation" / f"{number}.png", truth.labels)
    numbers(root / "depth" / f"{number}.npy", truth.depth.astype(np.float32)[..., None])
    picture(root / "normals" / f"{number}.png", coloured(truth.normals))
    picture(root / "edge" / f"{number}.png", truth.edges * np.uint8(255))


WRITERS: dict[str, Callable[[Path, str, Truth], None]] = {"astmt": write_astmt, "mti": write_mti, "atrc": write_atrc}


def write(root: Path, generation: str) -> Path:
    for number in (*TRAIN, *TEST):
        WRITERS[generation](root, number, Truth(number))
    (root / "gt_sets").mkdir(exist_ok=True)
    # The lists of the archives end without a line break, and somebody may have edited them on Windows.
    (root / "gt_sets" / "train.txt").write_bytes("\r\n".join(TRAIN).encode())
    (root / "gt_sets" / "val.txt").write_text("\n".join(TEST))
    return root


@pytest.fixture(params=GENERATIONS)
def any_tree(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return write(tmp_path / request.param, request.param)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write(tmp_path / "atrc", "atrc")


def open_nyud(root: Path, **arguments: object) -> data.Dataset:
    return data.create("nyud", root=root, **arguments)  # type: ignore[arg-type]


def faults(root: Path, **options: object) -> dict[str, str]:
    report = data.check("nyud", root, **options)
    return {fault.path.relative_to(root).as_posix(): fault.what for fault in report.faults}


def test_every_generation_says_the_same(any_tree: Path) -> None:
    for split in ("train", "val", "test"):
        dataset = open_nyud(any_tree, split=split)
        for index, number in enumerate(dataset.identifiers):
            sample, truth = dataset[index], Truth(number)
            if any_tree.name == "atrc":
                assert torch.equal((sample["image"] * 255).round(), torch.from_numpy(truth.image).permute(2, 0, 1))
            labels = np.where(truth.labels == 0, 255, truth.labels.astype(int) - 1)
            assert torch.equal(sample["seg"], torch.from_numpy(labels))
            assert sample["seg"][0, :2].tolist() == [255, 39]
            torch.testing.assert_close(sample["depth"], torch.from_numpy(truth.depth).float()[None])
            assert torch.equal(sample["edge"][0], torch.from_numpy(truth.edges).float())
            for name, task in dataset.active_tasks.items():
                assert task.faults(sample[name]) == []
            assert not dataset.active_tasks["depth"].valid(sample["depth"])[0, 3, 4]


@pytest.mark.parametrize(("generation", "accuracy"), [("mti", 1e-6), ("atrc", 0.01)])
def test_normals(tmp_path: Path, generation: str, accuracy: float) -> None:
    dataset = open_nyud(write(tmp_path, generation), split="test", tasks=["normals"])
    normals = dataset[1]["normals"]
    expected = torch.from_numpy(Truth("0002").normals).permute(2, 0, 1).float()
    torch.testing.assert_close(normals, expected, atol=accuracy, rtol=0)
    assert torch.equal(normals[:, 2, 5], torch.zeros(3))
    length = normals.norm(dim=0)
    length[2, 5] = 1
    torch.testing.assert_close(length, torch.ones(HEIGHT, WIDTH))


def test_normals_in_jpeg(tmp_path: Path) -> None:
    normals = open_nyud(write(tmp_path, "astmt"), split="test")[0]["normals"]
    expected = torch.from_numpy(Truth("0001").normals[0, 0]).float()[:, None, None].expand_as(normals)
    torch.testing.assert_close(normals, expected, atol=0.03, rtol=0)


def test_grey_normals_as_the_public_code_takes_them(tree: Path) -> None:
    dataset = open_nyud(tree, split="test", tasks=["normals"], shortest_normal=0)
    # 0 is written as 128, which is read as 1/255 in every channel.
    torch.testing.assert_close(dataset[0]["normals"][:, 2, 5], torch.full((3,), 3**-0.5))


def test_normals_of_another_frame(tree: Path) -> None:
    stored = open_nyud(tree, split="test", tasks=["normals"])[0]["normals"]
    turned = open_nyud(tree, split="test", tasks=["normals"], normal_channels=("x", "z", "-y"))[0]["normals"]
    torch.testing.assert_close(turned, torch.stack([stored[0], -stored[2], stored[1]]))


def test_real_normals_face_the_camera_in_the_right_frame(shared_data: Path, tmp_path: Path) -> None:
    """A real picture of normals (x right, z, y up), as the third generation would hold it."""
    real = shared_data / "data" / "nyud_v2" / "raw16"
    with Image.open(real / "0433_label40.png") as image:
        labels = np.array(image)
    with Image.open(real / "0433_depth.png") as image:
        depth = np.array(image)
    for folder, source in (("images", "rgb"), ("normals", "normal")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0433.png").write_bytes((real / f"0433_{source}.png").read_bytes())
    picture(tmp_path / "segmentation" / "0433.png", np.where(labels == 255, 0, labels + 1).astype(np.uint8))
    numbers(tmp_path / "depth" / "0433.npy", (depth / 5000).astype(np.float32))
    (tmp_path / "gt_sets").mkdir()
    for name in ("train.txt", "val.txt"):
        (tmp_path / "gt_sets" / name).write_text("0433\n")
    tasks = ["seg", "depth", "normals"]
    dataset = open_nyud(tmp_path, split="test", tasks=tasks, normal_channels=("x", "z", "-y"))
    sample = dataset[0]
    assert all(task.faults(sample[name]) == [] for name, task in dataset.active_tasks.items())
    known = dataset.active_tasks["normals"].valid(sample["normals"])[0]
    assert 0.7 < known.float().mean() < 1
    assert (sample["normals"][2][known] <= 0).float().mean() > 0.95
    floor = known & (sample["seg"] == 1)
    assert floor.sum() > 1000
    assert sample["normals"][1][floor].median() < -0.8
    assert torch.equal(sample["seg"] == 255, torch.from_numpy(labels == 255))


def test_the_splits_are_the_official_ones(tree: Path) -> None:
    assert open_nyud(tree, split="test").identifiers == list(TEST)
    assert open_nyud(tree, validation=0).identifiers == list(TRAIN)
    with pytest.raises(
        data.DatasetError, match=r"train.txt: lists 6 images, of which `validation` leaves none to 'val'"
    ):
        open_nyud(tree, split="val", validation=0)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.35, 0.6])
def test_whole_scenes_are_held_out(tree: Path, share: float) -> None:
    train, val = (open_nyud(tree, split=split, validation=share).identifiers for split in ("train", "val"))
    assert sorted(train + val) == list(TRAIN)
    assert train
    assert val
    for run in ({"0003", "0004", "0005"}, {"0009", "0010"}, {"0012"}):
        assert run <= set(val) or run.isdisjoint(val)


def test_a_sample_of_one_scene_still_has_validation_images(tree: Path) -> None:
    (tree / "gt_sets" / "train.txt").write_text("0003\n0004\n0005\n")
    train, val = (open_nyud(tree, split=split).identifiers for split in ("train", "val"))
    assert sorted(train + val) == ["0003", "0004", "0005"]
    assert len(val) == 1


def test_a_sound_tree_has_no_faults(any_tree: Path) -> None:
    report = data.check("nyud", any_tree)
    assert report.faults == []
    assert {split: summary.samples for split, summary in report.splits.items()} == {"train": 6, "test": 2}
    depth = report.splits["test"].tasks["depth"].labels
    known = np.concatenate([Truth(number).depth.ravel() for number in TEST])
    assert depth.means == pytest.approx([known[known > 0].mean()], rel=1e-6)


@pytest.mark.parametrize("listed", [1, 2])
def test_the_smallest_trees_are_sound(tree: Path, listed: int) -> None:
    (tree / "gt_sets" / "train.txt").write_text("\n".join(TRAIN[:listed]))
    assert faults(tree) == {}


def test_a_list_that_broke_off_is_a_fault(tree: Path) -> None:
    with (tree / "gt_sets" / "train.txt").open("a") as file:
        file.writelines(f"\n{number}" for number in range(2000, 2400))
    found = faults(tree, tasks=["seg"])
    assert found["gt_sets/train.txt"].startswith(
        "should list 795 images; it lists 406. Get all from the data sections of"
    )
    assert "gt_sets/val.txt" not in found


@pytest.mark.parametrize("folder", ["images", "segmentation", "depth", "normals", "edge"])
def test_a_missing_folder_is_named(any_tree: Path, folder: str) -> None:
    (any_tree / folder).rename(any_tree / "elsewhere")
    found = faults(any_tree)
    assert found.keys() == {folder}
    assert "is missing" in found[folder]
    assert "Get it from" in found[folder]


def test_only_what_is_asked_for_needs_to_be_there(any_tree: Path) -> None:
    (any_tree / "normals").rename(any_tree / "elsewhere")
    assert open_nyud(any_tree, tasks=["depth", "edge"])[0].keys() == {"image", "depth", "edge"}


def test_two_generations_in_one_directory(tmp_path: Path) -> None:
    write(write(tmp_path, "astmt"), "mti")
    with pytest.raises(
        data.DatasetError, match=r"segmentation: holds as many files \.\w+ as \.\w+, of two generations"
    ):
        open_nyud(tmp_path)


def test_what_an_old_generation_left_behind_does_no_harm(tmp_path: Path) -> None:
    write(tmp_path, "mti")
    write_astmt(tmp_path, TRAIN[0], Truth(TRAIN[1]))
    write_mti(tmp_path, TRAIN[0], Truth(TRAIN[0]))
    assert faults(tmp_path) == {}


def test_a_folder_of_something_else(tree: Path) -> None:
    for path in (tree / "normals").iterdir():
        path.rename(path.with_suffix(".exr"))
    assert faults(tree) == {"normals": "holds no file .npy or .png or .jpg"}


Damage = Callable[[Path], None]


def cut(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


BROKEN: list[tuple[str, str, Damage, str]] = [
    ("atrc", "images/0001.png", Path.unlink, "is missing"),
    ("atrc", "images/0001.png", cut, "cannot be read"),
    ("mti", "images/0001.jpg", lambda path: path.write_bytes(b""), "cannot be read"),
    ("atrc", "segmentation/0002.png", cut, "cannot be read"),
    (
        "atrc",
        "segmentation/0002.png",
        lambda path: picture(path, np.zeros((HEIGHT, 5), np.uint8)),
        "the size of its image",
    ),
    (
        "atrc",
        "segmentation/0002.png",
        lambda path: picture(path, np.full((HEIGHT, WIDTH), 41, np.uint8)),
        "should hold labels 0 to 40; it holds 41 on 140 pixels",
    ),
    (
        "atrc",
        "segmentation/0002.png",
        lambda path: picture(path, np.zeros((HEIGHT, WIDTH, 3), np.uint8)),
        "one channel of 8 bits",
    ),
    (
        "astmt",
        "segmentation/0002.mat",
        lambda path: matrix(path, "labels", np.zeros((HEIGHT, WIDTH))),
        "should hold the variable `segmentation`",
    ),
    (
        "astmt",
        "segmentation/0002.mat",
        lambda path: matrix(path, "segmentation", np.full((HEIGHT, WIDTH), 2.5)),
        "it holds 2.5 on 140 pixels",
    ),
    (
        "astmt",
        "segmentation/0002.mat",
        lambda path: savemat(path, {"segmentation": {"map": np.zeros((2, 2))}}),
        "a matrix of numbers as `segmentation`",
    ),
    ("astmt", "depth/0001.mat", cut, "cannot be read"),
    ("astmt", "depth/0001.mat", Path.unlink, "is missing"),
    ("mti", "depth/0001.npy", cut, "cannot be read"),
    (
        "mti",
        "depth/0001.npy",
        lambda path: np.save(path, np.full((HEIGHT, WIDTH), 2500.0)),
        "metres from 0 to 20; it holds 2500",
    ),
    (
        "mti",
        "depth/0001.npy",
        lambda path: np.save(path, np.full((HEIGHT, WIDTH), -1.0)),
        "metres from 0 to 20; it holds -1",
    ),
    ("mti", "depth/0001.npy", lambda path: np.save(path, np.full((HEIGHT, WIDTH), np.nan)), "to 20; it holds nan"),
    (
        "atrc",
        "normals/0001.png",
        lambda path: picture(path, np.zeros((HEIGHT, WIDTH), np.uint8)),
        "should have three channels of 8 bits",
    ),
    (
        "mti",
        "depth/0001.npy",
        lambda path: np.save(path, np.ones((HEIGHT, WIDTH), np.uint16)),
        "metres as real numbers",
    ),
    (
        "mti",
        "depth/0001.npy",
        lambda path: np.save(path, np.ones((HEIGHT, WIDTH, 3))),
        "should have the shape (height, width)",
    ),
    ("mti", "normals/0001.npy", lambda path: np.save(path, np.full((HEIGHT, WIDTH, 3), 255.0)), "from -1 to 1"),
    ("mti", "normals/0001.npy", lambda path: np.save(path, np.full((HEIGHT, WIDTH, 3), np.nan)), "from -1 to 1"),
    ("mti", "normals/0001.npy", lambda path: np.save(path, np.zeros((3, HEIGHT, WIDTH))), "(height, width, 3)"),
    ("mti", "edge/0002.npy", lambda path: np.save(path, np.full((HEIGHT, WIDTH), 255)), "numbers from 0 to 1"),
    ("mti", "edge/0002.npy", lambda path: np.save(path, np.array(["edge"])), "should hold one array of numbers"),
    (
        "atrc",
        "edge/0002.png",
        lambda path: picture(path, np.eye(HEIGHT, WIDTH, dtype=np.uint8)),
        "it holds 0 and 1 alone",
    ),
    ("atrc", "normals/0002.png", lambda path: path.write_bytes(b"\x89PNG no picture"), "cannot be read"),
]


@pytest.mark.parametrize(("generation", "file", "damage", "words"), BROKEN)
def test_a_broken_file_is_one_fault_that_names_it(
    tmp_path: Path, generation: str, file: str, damage: Damage, words: str
) -> None:
    root = write(tmp_path, generation)
    damage(root / file)
    found = faults(root, splits=["test"])
    assert found.keys() == {file}
    assert words in found[file]


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ({"train.txt": "0003\n0004\n0003\n"}, "lists '0003' twice"),
        ({"train.txt": "\n"}, "lists nothing"),
        ({"train.txt": b"\xff\xfe0003"}, "cannot be read"),
        ({"train.txt": None}, "is missing"),
        ({"val.txt": None}, "is missing"),
        ({"val.txt": "0003\n"}, "is in 'train' and again in 'test'"),
    ],
)
def test_broken_lists(tree: Path, lists: dict[str, str | bytes | None], words: str) -> None:
    for name, text in lists.items():
        path = tree / "gt_sets" / name
        if text is None:
            path.unlink()
        else:
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
    report = data.check("nyud", tree)
    assert len(report.faults) == 1
    assert words in report.faults[0].what


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"validation": 1.0}, r"`validation` should be in \[0, 1\)"),
        ({"shortest_normal": 1.0}, r"`shortest_normal` should be in \[0, 1\)"),
        ({"normal_channels": ("x", "y", "y")}, "`normal_channels` should be x, y and z in any order"),
    ],
)
def test_wrong_options_are_named(tree: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        open_nyud(tree, **options)


def test_the_mark_of_an_editor_is_no_part_of_a_list(tree: Path) -> None:
    path = tree / "gt_sets" / "train.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert data.create("nyud", root=tree, validation=0).identifiers == list(TRAIN)


def test_arrays_are_not_parsed_in_two_threads_at_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = threading.Semaphore(1)
    load = np.load

    def alone(*args: Any, **kwargs: Any) -> Any:
        assert inside.acquire(blocking=False)
        time.sleep(0.002)
        inside.release()
        return load(*args, **kwargs)

    monkeypatch.setattr(np, "load", alone)
    assert data.check("nyud", tree).ok


def test_a_contact_sheet_can_be_drawn(any_tree: Path) -> None:
    sheet = data.contact_sheet(open_nyud(any_tree, split="test"), 2)
    assert sheet.width >= 5 * WIDTH


def test_the_fingerprint_follows_the_files(any_tree: Path, assert_fingerprint_follows: Callable[..., None]) -> None:
    endings = {"astmt": ("jpg", "mat"), "mti": ("jpg", "npy"), "atrc": ("png", "npy")}[any_tree.name]
    assert_fingerprint_follows(
        "nyud",
        any_tree,
        files=[f"images/0003.{endings[0]}", f"depth/0001.{endings[1]}"],
        lists={"gt_sets/train.txt": ("0012", "0013"), "gt_sets/val.txt": ("0002", "0007")},
        options={"validation": 0.5, "normal_channels": ("y", "x", "z")},
    )


def test_a_tree_with_a_part_of_the_folders_has_a_fingerprint(tree: Path) -> None:
    whole = data.fingerprint("nyud", tree)
    shutil.rmtree(tree / "edge")
    assert data.fingerprint("nyud", tree) not in ("", whole)


def test_decoded_files_of_one_task_are_kept_on_disk(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path / "cache"))
    dataset = open_nyud(tree, split="test", tasks=["seg"], cache="disk")
    assert torch.equal(dataset[0]["seg"], open_nyud(tree, split="test")[0]["seg"])
