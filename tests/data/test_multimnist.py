"""Multi-MNIST: files, composition, partners."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from equipoise import data
from equipoise.data.datasets.multimnist import overlapped, read_idx

# The rows of the 36 of the canvas that Gama & Grassi (2025) keep, as read off their results.
ROWS = [0, 1, 3, 4, 5, 7, 8, 9, 10, 12, 13, 14, 16, 17, 18, 19, 21, 22, 23, 25, 26, 27, 28, 30, 31, 32, 34, 35]


def write_idx(path: Path, values: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, values.ndim]) + b"".join(length.to_bytes(4, "big") for length in values.shape)
    content = header + values.numpy().tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_tree(folder: Path, suffix: str = "", train: int = 60, test: int = 20) -> tuple[Tensor, Tensor]:
    """Random digits in the four files; returns images and labels of the training files."""
    generator = torch.Generator().manual_seed(0)
    for part, count in (("t10k", test), ("train", train)):
        images = torch.randint(256, (count, 28, 28), generator=generator, dtype=torch.uint8)
        labels = torch.randint(10, (count,), generator=generator, dtype=torch.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", labels)
    return images, labels


@pytest.mark.parametrize(("folder", "suffix"), [("", ".gz"), ("raw", ""), ("MNIST/raw", ".gz")])
def test_splits_of_every_layout(tmp_path: Path, folder: str, suffix: str) -> None:
    images, labels = write_tree(tmp_path / folder, suffix)
    sizes = {}
    for split in ("train", "val", "test"):
        dataset = data.create("multimnist", root=tmp_path, split=split)
        sizes[split] = len(dataset)
        assert set(dataset[0]) == {"image", "CL", "CR", "RL", "RR"}
    assert sizes == {"train": 50, "val": 10, "test": 20}
    # The left digit is the item itself.
    held_out = data.create("multimnist", root=tmp_path, split="val", tasks=["CL", "RL"])
    assert held_out.identifiers[3] == "train-00053"
    assert held_out[3]["CL"] == labels[53]
    torch.testing.assert_close(held_out[3]["RL"][0], (images[53] / 255 - 0.1307) / 0.3081)


def test_composition_by_hand() -> None:
    left, right = (torch.randint(256, (28, 28), generator=torch.Generator().manual_seed(s)) for s in (1, 2))
    canvas = torch.zeros(36, 36, dtype=torch.int64)
    for row in range(28):
        for column in range(28):
            canvas[row, column] = max(canvas[row, column], left[row, column])
            canvas[row + 6, column + 6] = max(canvas[row + 6, column + 6], right[row, column])
    assert torch.equal(overlapped(left, right), canvas[ROWS][:, ROWS])


def test_image_and_targets_belong_together(tmp_path: Path) -> None:
    images, labels = write_tree(tmp_path)
    dataset = data.create("multimnist", root=tmp_path, seed=3)
    sample = dataset[17]
    right = dataset.partners[17]
    assert (sample["CL"], sample["CR"]) == (labels[17], labels[right])
    torch.testing.assert_close(sample["RR"][0], (images[right] / 255 - 0.1307) / 0.3081)
    torch.testing.assert_close(sample["image"][0], overlapped(images[17], images[right]) / 255)
    assert sample["image"].shape == (1, 28, 28)


def test_drawn_partners_are_of_the_same_split_and_follow_the_seed(tmp_path: Path) -> None:
    write_tree(tmp_path)

    def partners(split: str, seed: int = 0) -> list[int]:
        return data.create("multimnist", root=tmp_path, split=split, seed=seed).partners

    assert partners("train") == partners("train") != partners("train", seed=1)
    assert set(partners("val")) <= set(range(50, 60))
    assert set(partners("train")) <= set(range(50))
    assert len(set(partners("train"))) > 20


def test_listed_partners_are_taken_and_further_lines_do_not_count(tmp_path: Path) -> None:
    write_tree(tmp_path / "raw")
    (tmp_path / "processed").mkdir()
    listed = [*range(59, 49, -1), *range(50)]
    (tmp_path / "processed" / "val_right_idx.txt").write_text("\n".join(map(str, listed)))
    assert data.create("multimnist", root=tmp_path, split="val").partners == listed[:10]


@pytest.mark.parametrize(
    ("lines", "words"), [(["50"] * 9, "should have 10 lines; it has 9"), (["3"] * 10, "from 50 to 59; it holds '3'")]
)
def test_wrong_lists_are_named(tmp_path: Path, lines: list[str], words: str) -> None:
    write_tree(tmp_path)
    (tmp_path / "processed").mkdir()
    (tmp_path / "processed" / "val_right_idx.txt").write_text("\n".join(lines))
    with pytest.raises(data.DatasetError, match=words):
        data.create("multimnist", root=tmp_path, split="val")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x-idx.gz"
    for content, words in (
        (gzip.compress(bytes(3)), "cannot be read"),
        (gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 9, 1])), "should hold 9 values"),
        (gzip.compress(bytes([0, 0, 13, 1, 0, 0, 0, 1, 1])), "IDX file of bytes; it begins with 00 00 0d 01"),
        (gzip.compress(bytes(100))[:-9], "cannot be read"),
        (b"no gzip", "cannot be read"),
    ):
        path.write_bytes(content)
        with pytest.raises(data.DatasetError, match=words):
            read_idx(path)


def test_missing_files_are_named_with_their_source(tmp_path: Path) -> None:
    with pytest.raises(data.DatasetError, match=r"train-images-idx3-ubyte: is missing, .*Get it from `torchvision"):
        data.create("multimnist", root=tmp_path)


def test_images_and_labels_should_go_together(tmp_path: Path) -> None:
    write_tree(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", torch.zeros(59, dtype=torch.uint8))
    with pytest.raises(data.DatasetError, match=r"a label for each of 60 images; it has the shape \(59,\)"):
        data.create("multimnist", root=tmp_path)


def test_the_real_test_images(shared_data: Path) -> None:
    folder = shared_data / "data" / "mnist"
    image_file = folder / "t10k-images-idx3-ubyte.gz"
    assert hashlib.md5(image_file.read_bytes()).hexdigest() == "9fb629c4189551a2d022fa330f9573f3"
    splits = {
        split: data.create("multimnist", root=folder, split=split, only_test_files=True)
        for split in ("train", "val", "test")
    }
    assert {split: len(dataset) for split, dataset in splits.items()} == {"train": 8000, "val": 1000, "test": 1000}
    # The first digits of the official test set are known to everybody.
    assert [int(splits["train"][index]["CL"]) for index in range(8)] == [7, 2, 1, 0, 4, 1, 4, 9]
    assert data.check("multimnist", folder, splits=["val"], only_test_files=True).ok


def test_the_fingerprint_follows_the_files(tmp_path: Path, assert_fingerprint_follows: Callable[..., None]) -> None:
    write_tree(tmp_path / "raw", ".gz")
    (tmp_path / "processed").mkdir()
    (tmp_path / "processed" / "val_right_idx.txt").write_text("\n".join(["50"] * 10))
    assert_fingerprint_follows(
        "multimnist",
        tmp_path,
        files=["raw/train-images-idx3-ubyte.gz", "raw/t10k-labels-idx1-ubyte.gz"],
        lists={"processed/val_right_idx.txt": ("50", "51")},
        options={"seed": 1, "only_test_files": True},
        folders=False,
    )
