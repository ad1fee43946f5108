"""The reader of the generated rooms."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from equipoise import data


@pytest.fixture
def rooms_copy(generated_rooms: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(generated_rooms, tmp_path / "rooms"))


def test_splits_divide_the_scenes(generated_rooms: Path) -> None:
    splits = {split: data.create("rooms", root=generated_rooms, split=split) for split in ("train", "val", "test")}
    scenes = {split: {name.split("/")[0] for name in dataset.identifiers} for split, dataset in splits.items()}
    assert {split: len(dataset) for split, dataset in splits.items()} == {"train": 6, "val": 3, "test": 3}
    assert len(set.union(*scenes.values())) == sum(map(len, scenes.values())) == 4


def test_reads_what_is_stored(generated_rooms: Path) -> None:
    dataset = data.create("rooms", root=generated_rooms, split="val")
    sample, stem = dataset[1], str(generated_rooms / dataset.identifiers[1])

    def stored(kind: str) -> np.ndarray:
        if kind in ("depth", "normals"):
            return np.load(f"{stem}_{kind}.npy")
        with Image.open(f"{stem}_{kind}.png") as image:
            return np.array(image)

    np.testing.assert_allclose(sample["image"].permute(1, 2, 0) * 255, stored("image"), atol=1e-4)
    np.testing.assert_array_equal(sample["seg"], stored("segmentation"))
    np.testing.assert_array_equal(sample["depth"][0], stored("depth"))
    np.testing.assert_array_equal(sample["normals"].permute(1, 2, 0), stored("normals").astype(np.float32))
    np.testing.assert_array_equal(sample["edge"][0] * 255, stored("edge"))
    np.testing.assert_array_equal(sample["parts"], stored("parts"))


def test_samples_keep_the_encoding_of_their_tasks(generated_rooms: Path) -> None:
    dataset = data.create("rooms", root=generated_rooms)
    assert list(dataset.active_tasks) == ["seg", "depth", "normals", "edge", "saliency", "parts"]
    for sample in (dataset[i] for i in range(len(dataset))):
        for name, task in dataset.active_tasks.items():
            if name in sample:
                assert sample[name].dtype == task.dtype
                assert task.faults(sample[name]) == []
        length = sample["normals"].norm(dim=0)
        torch.testing.assert_close(length, torch.ones_like(length), atol=1e-3, rtol=0)


def test_without_a_root_the_rooms_are_generated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path))
    options = {"scenes": 3, "scans": 1, "size": 16, "seed": 2}
    first = data.create("rooms", **options)  # type: ignore[arg-type]
    manifest = first.root / "manifest.json"
    written = manifest.stat().st_mtime_ns
    second = data.create("rooms", split="val", **options)  # type: ignore[arg-type]
    assert tmp_path in first.root.parents
    assert (second.root, manifest.stat().st_mtime_ns) == (first.root, written)
    assert first[0]["image"].shape == (3, 16, 16)


def test_options_that_contradict_the_root_are_named(generated_rooms: Path) -> None:
    assert len(data.create("rooms", root=generated_rooms, scenes=4, seed=1)) == 6
    with pytest.raises(ValueError, match=r"`seed` should be 1, which .* Found `seed = 3`"):
        data.create("rooms", root=generated_rooms, seed=3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": ["wall"]}, "other classes or parts"),
        ({"splits": None}, "no manifest of rooms"),
        ({"parts": None}, "no manifest of rooms"),
    ],
)
def test_other_manifests_are_refused(rooms_copy: Path, change: dict[str, object], words: str) -> None:
    path = rooms_copy / "manifest.json"
    manifest = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({key: value for key, value in manifest.items() if value is not None}))
    with pytest.raises(data.DatasetError, match=f"manifest.json: .*{words}"):
        data.create("rooms", root=rooms_copy)


@pytest.mark.parametrize("text", ["", "[1, 2]", "{"])
def test_a_broken_manifest_is_named(rooms_copy: Path, text: str) -> None:
    (rooms_copy / "manifest.json").write_text(text)
    with pytest.raises(data.DatasetError, match=r"manifest.json: is no manifest of rooms"):
        data.create("rooms", root=rooms_copy)


def test_damaged_files_are_found(rooms_copy: Path) -> None:
    scan = rooms_copy / data.create("rooms", root=rooms_copy, split="test").identifiers[0]
    np.save(f"{scan}_depth.npy", np.ones((32, 32)))
    np.save(f"{scan}_normals.npy", np.ones((32, 32, 2), dtype=np.float32))
    Image.fromarray(np.full((32, 32), 9, dtype=np.uint8)).save(f"{scan}_edge.png")
    Image.fromarray(np.full((32, 32), 200, dtype=np.uint8)).save(f"{scan}_parts.png")
    Path(f"{scan}_segmentation.png").unlink()
    faults = {fault.path.name.split("_")[1]: fault.what for fault in data.check("rooms", rooms_copy).faults}
    assert faults == {
        "segmentation.png": "is missing",
        "depth.npy": "should hold float16 or float32; it holds float64",
        "normals.npy": "should have the shape (height, width, 3); it has (32, 32, 2)",
        "edge.png": "should hold 0 and 255 alone; it holds other values",
        "parts.png": "labels should be below 16 or 255; found 200 on 1024 pixels",
    }


def test_the_fingerprint_follows_the_files(
    generated_rooms: Path, assert_fingerprint_follows: Callable[..., None]
) -> None:
    assert_fingerprint_follows(
        "rooms",
        generated_rooms,
        files=["scene_000/000_image.png", "scene_003/002_parts.png"],
        lists={
            "manifest.json": ('"size": 32', '"size": 64'),
            "scene_001/cameras.json": ("rotation", "Rotation"),
        },
    )


def test_rooms_in_the_cache_are_known_by_the_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path))
    plain = data.fingerprint("rooms")
    assert plain == data.fingerprint(
        "rooms",
        None,
        {
            "scenes": 18,
            "scans": 40,
            "size": 128,
            "seed": 0,
        },
    )
    assert plain == data.fingerprint("rooms", None, {"scenes": None})
    others = {data.fingerprint("rooms", None, {name: 17}) for name in ("scenes", "scans", "size", "seed")}
    monkeypatch.setattr("equipoise.data.datasets.rooms.GENERATOR_VERSION", 1000)
    assert len({plain, *others, data.fingerprint("rooms")}) == 6
    # Nothing has been generated.
    assert list(tmp_path.iterdir()) == []
