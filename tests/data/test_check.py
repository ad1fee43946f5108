"""The check of a dataset finds what is wrong and counts what is there."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from equipoise import data


def overwrite(path: Path, change: bytes) -> None:
    assert path.is_file()
    path.write_bytes(change)


def faults(root: Path) -> dict[str, str]:
    report = data.check("nyud_mini", root, splits=["test"])
    assert report.ok is (not report.faults)
    return {str(fault.path.relative_to(root)): fault.what for fault in report.faults}


def test_a_sound_tree_has_no_faults(nyud_tree: Path) -> None:
    report = data.check("nyud_mini", nyud_tree, validation=0.3)
    assert report.ok
    assert {split: summary.samples for split, summary in report.splits.items()} == {"train": 7, "val": 3, "test": 3}
    assert report.splits["train"].sizes == {(12, 16): 7}


def test_counts_and_ranges(nyud_tree: Path) -> None:
    summary = data.check("nyud_mini", nyud_tree, splits=["test"]).splits["test"]
    depths, labels = [], []
    for number in ("0001", "0002", "0006"):
        with Image.open(nyud_tree / "depth" / f"{number}.png") as image:
            depths.append((np.array(image) + 0.5) / 25.5)
        with Image.open(nyud_tree / "label40" / f"{number}.png") as image:
            labels.append(np.array(image))
    depth, seg = summary.tasks["depth"], summary.tasks["seg"]
    assert depth.statistics == pytest.approx({"min": np.min(depths), "max": np.max(depths), "mean": np.mean(depths)})
    assert (depth.labels.labelled, depth.labels.pixels, depth.labels.samples) == (576, 576, 3)
    assert (seg.labels.labelled, seg.labels.pixels) == (576 - 48, 576)
    counts = np.bincount(np.ravel(labels), minlength=256)
    classes = data.tasks("nyud_mini")["seg"].classes
    assert seg.statistics == {"histogram": dict(zip(classes, counts[:40].tolist(), strict=True))}


def test_missing_and_damaged_files_are_named(nyud_tree: Path) -> None:
    (nyud_tree / "rgb" / "0001.jpg").unlink()
    overwrite(nyud_tree / "depth" / "0001.png", b"no picture")
    whole = (nyud_tree / "depth" / "0002.png").read_bytes()
    overwrite(nyud_tree / "depth" / "0002.png", whole[: len(whole) // 2])
    overwrite(nyud_tree / "rgb" / "0002.jpg", b"")
    Image.fromarray(np.zeros((12, 16, 3), dtype=np.uint8)).save(nyud_tree / "depth" / "0006.png")
    Image.fromarray(np.zeros((12, 8), dtype=np.uint8)).save(nyud_tree / "label40" / "0006.png")
    found = faults(nyud_tree)
    assert found.keys() == {
        "rgb/0001.jpg", "depth/0001.png", "depth/0002.png", "rgb/0002.jpg", "depth/0006.png", "label40/0006.png"
    }  # fmt: skip
    assert found["rgb/0001.jpg"] == "is missing"
    assert found["depth/0001.png"].startswith("cannot be read")
    assert found["depth/0002.png"].startswith("cannot be read")
    assert found["depth/0006.png"] == "should have one channel of 8 bits; it has the mode 'RGB'"
    assert found["label40/0006.png"] == "should have the size of its image, (12, 16); it has (12, 8)"


def test_labels_out_of_range_are_named(nyud_tree: Path) -> None:
    Image.fromarray(np.full((12, 16), 40, dtype=np.uint8)).save(nyud_tree / "label40" / "0002.png")
    assert faults(nyud_tree) == {"label40/0002.png": "labels should be below 40 or 255; found 40 on 192 pixels"}


def test_a_missing_part_is_one_fault(nyud_tree: Path) -> None:
    (nyud_tree / "depth").rename(nyud_tree / "depths")
    report = data.check("nyud_mini", nyud_tree)
    (fault,) = report.faults
    assert (fault.path, report.splits) == (nyud_tree / "depth", {})
    assert "Get it from" in fault.what


def test_all_that_is_missing_is_named_once(tmp_path: Path) -> None:
    report = data.check("nyud_mini", tmp_path)
    assert [fault.path.name for fault in report.faults] == ["rgb", "depth", "label40", "train.txt", "test.txt"]
    assert all("Get it from http" in fault.what for fault in report.faults)
    assert report.splits == {}


def test_statistics_are_those_of_the_kind(generated_rooms: Path) -> None:
    tasks = data.check("rooms", generated_rooms, splits=["test"]).to_json()["splits"]["test"]["tasks"]
    dataset = data.create("rooms", root=generated_rooms, split="test")
    samples = [dataset[index] for index in range(len(dataset))]
    normals = np.stack([sample["normals"] for sample in samples])
    assert tasks["normals"]["mean"] == pytest.approx(normals.mean(axis=(0, 2, 3)).tolist(), abs=1e-6)
    for name in ("edge", "saliency"):
        fraction = np.mean([sample[name].mean() for sample in samples])
        assert tasks[name] == {"kind": tasks[name]["kind"], "samples": 3, "labelled": 1, "fraction": fraction}
    counts = np.bincount(np.concatenate([sample["seg"].flatten() for sample in samples]), minlength=200)
    histogram = tasks["seg"]["histogram"]
    assert list(histogram.values()) == counts[: len(histogram)].tolist()
    # The background of parts is a class; an image of background alone would have no labels.
    assert tasks["parts"]["samples"] == sum("parts" in sample for sample in samples)


def test_what_is_no_class_is_not_counted_as_one(nyud_tree: Path) -> None:
    Image.fromarray(np.full((12, 16), 40, dtype=np.uint8)).save(nyud_tree / "label40" / "0002.png")
    seg = data.check("nyud_mini", nyud_tree, splits=["test"]).splits["test"].tasks["seg"]
    assert sum(seg.statistics["histogram"].values()) == seg.labels.labelled - 12 * 16


def test_samples_of_two_splits_are_found(nyud_tree: Path) -> None:
    (nyud_tree / "test.txt").write_text("0001\n0003\n0001\n")
    (repeated,) = data.check("nyud_mini", nyud_tree, splits=["test"]).faults
    assert (repeated.path.name, repeated.what) == ("0001.jpg", "is in 'test' and again in 'test'")
    both = data.check("nyud_mini", nyud_tree, validation=0, splits=["train", "test"])
    assert ("0003.jpg", "is in 'train' and again in 'test'") in [(f.path.name, f.what) for f in both.faults]


def test_damaged_samples_raise_the_same_words_in_use(nyud_tree: Path) -> None:
    dataset = data.create("nyud_mini", root=nyud_tree, split="test")
    Image.fromarray(np.zeros((12, 8), dtype=np.uint8)).save(nyud_tree / "label40" / "0001.png")
    (nyud_tree / "depth" / "0002.png").unlink()
    with pytest.raises(data.DatasetError, match=r"0001.png: should have the size of its image"):
        dataset[0]
    with pytest.raises(data.DatasetError, match=r"0002.png: is missing"):
        dataset[1]


def test_progress_and_text(nyud_tree: Path) -> None:
    steps: list[tuple[int, int]] = []
    report = data.check("nyud_mini", nyud_tree, splits=["test"], progress=lambda done, all_: steps.append((done, all_)))
    assert steps == [(1, 3), (2, 3), (3, 3)]
    text = str(report)
    assert "nyud_mini test: 3 samples, 16x12 (3)" in text
    assert "seg: 3 samples, 91.7% labelled" in text
    assert "depth: 3 samples, 100.0% labelled, min 0." in text
    assert text.endswith("0 faults")


def test_unknown_names_are_errors(nyud_tree: Path) -> None:
    with pytest.raises(ValueError, match="Did you mean `nyud_mini`"):
        data.check("nyud-mini", nyud_tree)
    with pytest.raises(ValueError, match="Did you mean `train`"):
        data.check("nyud_mini", nyud_tree, splits=["trian"])
