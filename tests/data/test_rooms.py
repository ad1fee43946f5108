"""The generated dataset: exact, aligned, deterministic, atomic."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from equipoise.data.rooms import GENERATOR_VERSION, PART_CLASSES, SEMANTIC_CLASSES, cached, generate

SCENES, SCANS, SIZE = 6, 6, 96
STRUCTURE = [SEMANTIC_CLASSES.index(name) for name in ("wall", "floor", "ceiling")]
NEVER_SALIENT = [*STRUCTURE, *(SEMANTIC_CLASSES.index(name) for name in ("door", "window", "curtain", "rug"))]

Scan = dict[str, Any]


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("data") / "rooms", scenes=SCENES, scans=SCANS, size=SIZE, seed=3)


def read_scan(scene: Path, scan: str) -> Scan:
    maps: Scan = {}
    for modality in ("image", "segmentation", "instance", "edge", "saliency", "parts"):
        with Image.open(scene / f"{scan}_{modality}.png") as picture:
            maps[modality] = np.array(picture)
    for modality in ("depth", "normals"):
        maps[modality] = np.load(scene / f"{scan}_{modality}.npy")
    maps["camera"] = json.loads((scene / "cameras.json").read_text())[scan]
    return maps


@pytest.fixture(scope="module")
def scenes(rooms: Path) -> dict[str, list[Scan]]:
    return {
        scene.name: [read_scan(scene, f"{scan:03d}") for scan in range(SCANS)]
        for scene in sorted(rooms.glob("scene_*"))
    }


@pytest.fixture(scope="module")
def scans(scenes: dict[str, list[Scan]]) -> list[Scan]:
    return [scan for several in scenes.values() for scan in several]


def fingerprints(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def points_in_camera(scan: Scan) -> np.ndarray:
    """Camera coordinates of what each pixel sees, from depth and intrinsics alone."""
    intrinsics, depth = scan["camera"]["intrinsics"], scan["depth"].astype(np.float64)
    rows, columns = np.indices(depth.shape) + 0.5
    x = (columns - intrinsics["cx"]) / intrinsics["fx"] * depth
    y = (rows - intrinsics["cy"]) / intrinsics["fy"] * depth
    return np.stack([x, y, depth], axis=-1)


def neighbours_differ(values: np.ndarray) -> np.ndarray:
    """Whether one of a pixel's four neighbours has another value."""
    differ = np.zeros(values.shape, bool)
    for axis in (0, 1):
        change = np.diff(values.astype(np.int64), axis=axis) != 0
        differ |= np.pad(change, [(0, 1) if a == axis else (0, 0) for a in (0, 1)])
        differ |= np.pad(change, [(1, 0) if a == axis else (0, 0) for a in (0, 1)])
    return differ


def test_the_files_are_as_the_manifest_says(rooms: Path, scans: list[Scan]) -> None:
    manifest = json.loads((rooms / "manifest.json").read_text())
    assert manifest["generator_version"] == GENERATOR_VERSION
    assert manifest["arguments"] == {"scenes": SCENES, "scans": SCANS, "size": SIZE, "seed": 3}
    assert tuple(manifest["classes"]) == SEMANTIC_CLASSES
    assert tuple(manifest["parts"]) == PART_CLASSES
    assert len({tuple(colour) for colour in manifest["class_colours"]}) == len(SEMANTIC_CLASSES) >= 13
    assert len({tuple(colour) for colour in manifest["part_colours"]}) == len(PART_CLASSES)
    assert len(scans) == SCENES * SCANS
    types = {
        "image": np.uint8,
        "segmentation": np.uint8,
        "instance": np.uint16,
        "depth": np.float32,
        "normals": np.float16,
        "edge": np.uint8,
        "saliency": np.uint8,
        "parts": np.uint8,
    }
    for scan in scans:
        for modality, dtype in types.items():
            assert scan[modality].dtype == dtype
            assert scan[modality].shape == ((SIZE, SIZE, 3) if modality in ("image", "normals") else (SIZE, SIZE))


@pytest.mark.parametrize(
    ("count", "expected"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (6, (4, 1, 1)), (18, (12, 3, 3))]
)
def test_splits_are_disjoint_and_complete(tmp_path: Path, count: int, expected: tuple[int, int, int]) -> None:
    out = generate(tmp_path / "rooms", scenes=count, scans=1, size=16)
    splits = json.loads((out / "manifest.json").read_text())["splits"]
    assert tuple(len(splits[name]) for name in ("train", "val", "test")) == expected
    every = [scene for split in splits.values() for scene in split]
    assert sorted(every) == sorted(path.name for path in out.glob("scene_*"))
    assert len(set(every)) == count


def test_labels_stay_in_their_ranges(scans: list[Scan]) -> None:
    for scan in scans:
        assert scan["segmentation"].max() < len(SEMANTIC_CLASSES)
        assert scan["parts"].max() < len(PART_CLASSES)
        assert set(np.unique(scan["edge"])) <= {0, 255}
        assert set(np.unique(scan["saliency"])) <= {0, 255}
        assert np.isfinite(scan["depth"]).all()
        assert 0.1 < scan["depth"].min() < scan["depth"].max() < 9.0


def test_structure_instances_parts_and_saliency_agree(scans: list[Scan]) -> None:
    for scan in scans:
        structure = np.isin(scan["segmentation"], STRUCTURE)
        assert ((scan["instance"] == 0) == structure).all()
        assert ((scan["parts"] == 0) == structure).all()
        assert not scan["saliency"][np.isin(scan["segmentation"], NEVER_SALIENT)].any()
        for number in np.unique(scan["instance"][~structure]):
            inside = scan["instance"] == number
            assert len(np.unique(scan["segmentation"][inside])) == 1
            assert len(np.unique(scan["saliency"][inside])) == 1


def test_an_instance_is_the_same_object_in_all_scans_of_its_scene(scenes: dict[str, list[Scan]]) -> None:
    for several in scenes.values():
        classes: dict[int, int] = {}
        for scan in several:
            numbers, where = np.unique(scan["instance"], return_index=True)
            for number, category in zip(numbers.tolist(), scan["segmentation"].ravel()[where].tolist(), strict=True):
                if number:
                    assert classes.setdefault(number, category) == category


def test_normals_are_unit_vectors_that_face_the_camera(scans: list[Scan]) -> None:
    for scan in scans:
        normals = scan["normals"].astype(np.float64)
        np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1.0, atol=1e-3)
        rays = points_in_camera(scan) / scan["depth"][..., None]
        assert ((normals * rays).sum(axis=-1) < 0).all()


def test_normals_agree_with_the_slope_of_the_depth(scans: list[Scan]) -> None:
    compared = 0
    for scan in scans:
        points = points_in_camera(scan)
        across, down = points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1]
        slope = np.cross(across, down)
        slope /= -np.linalg.norm(slope, axis=-1, keepdims=True)
        normals = scan["normals"][1:-1, 1:-1].astype(np.float64)
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        # Floors and ceilings are flat, and walls are apart from corners and skirting boards.
        category = scan["segmentation"]
        inner = ~neighbours_differ(category)[1:-1, 1:-1] & np.isin(category[1:-1, 1:-1], STRUCTURE)
        cosine = (slope * normals).sum(axis=-1)[inner]
        compared += len(cosine)
        assert np.mean(cosine > np.cos(np.radians(0.5))) > 0.85
    assert compared > 10_000


def test_floor_and_ceiling_normals_point_up_and_down_in_the_room(scans: list[Scan]) -> None:
    for scan in scans:
        in_room = scan["normals"].astype(np.float64) @ np.array(scan["camera"]["rotation"]).T
        for name, direction in (("floor", 1.0), ("ceiling", -1.0)):
            here = scan["segmentation"] == SEMANTIC_CLASSES.index(name)
            np.testing.assert_allclose(in_room[here][:, 2], direction, atol=2e-3)


def test_a_point_seen_in_one_scan_is_at_the_same_place_in_another(scenes: dict[str, list[Scan]]) -> None:
    compared = 0
    for several in scenes.values():
        for first, second in pairwise(several):
            rotation, position = np.array(first["camera"]["rotation"]), np.array(first["camera"]["position"])
            world = points_in_camera(first).reshape(-1, 3) @ rotation.T + position
            other, intrinsics = np.array(second["camera"]["rotation"]), second["camera"]["intrinsics"]
            there = (world - np.array(second["camera"]["position"])) @ other
            ahead = there[:, 2] > 0.2
            column = np.floor(there[:, 0] / there[:, 2].clip(0.2) * intrinsics["fx"] + intrinsics["cx"]).astype(int)
            row = np.floor(there[:, 1] / there[:, 2].clip(0.2) * intrinsics["fy"] + intrinsics["cy"]).astype(int)
            seen = ahead & (column >= 0) & (column < SIZE) & (row >= 0) & (row < SIZE)
            if not seen.any():
                continue
            depth = second["depth"][row[seen], column[seen]]
            expected = there[seen, 2]
            # Something may hide the point, but nobody looks through it: around its pixel (a silhouette may miss the
            # pixel's centre) there is something at least as near.
            padded = np.pad(second["depth"], 1, mode="edge")
            nearest = np.min([padded[r : r + SIZE, c : c + SIZE] for r in range(3) for c in range(3)], axis=0)
            assert np.mean(nearest[row[seen], column[seen]] > expected * 1.01 + 0.01) < 0.01
            visible = np.abs(depth - expected) < 0.02
            if visible.sum() < 300:
                continue
            compared += int(visible.sum())
            same = first["instance"].reshape(-1)[seen][visible] == second["instance"][row[seen], column[seen]][visible]
            assert same.mean() > 0.95
    assert compared > 5_000


def test_edges_are_thin_and_lie_where_instances_meet(scans: list[Scan]) -> None:
    for scan in scans:
        edge, instance = scan["edge"] > 0, scan["instance"]
        assert not edge[~neighbours_differ(instance)].any()
        for axis in (0, 1):
            meet = np.diff(instance.astype(np.int64), axis=axis) != 0
            first, second = (edge[:-1], edge[1:]) if axis == 0 else (edge[:, :-1], edge[:, 1:])
            assert (first | second)[meet].all()
        assert 0.003 < edge.mean() < 0.3
        assert not edge[instance == 0].any()


def test_saliency_is_seldom_empty_and_never_everything(scans: list[Scan]) -> None:
    shares = np.array([(scan["saliency"] > 0).mean() for scan in scans])
    assert np.mean((shares > 0.01) & (shares < 0.6)) > 0.85
    assert shares.max() < 0.9


def test_scans_show_varied_rooms(scans: list[Scan]) -> None:
    counts = np.zeros(len(SEMANTIC_CLASSES), np.int64)
    for scan in scans:
        here = np.bincount(scan["segmentation"].ravel(), minlength=len(SEMANTIC_CLASSES))
        assert (here > 0).sum() >= 5
        assert scan["image"].std() > 10
        assert 40 < scan["image"].mean() < 220
        counts += here
    assert (counts > 0).sum() >= 17
    parts = np.concatenate([np.unique(scan["parts"]) for scan in scans])
    assert len(np.unique(parts)) >= 13


def test_colour_does_not_give_the_class_away(scans: list[Scan]) -> None:
    # The best guess from a pixel's colour alone, learnt on the very pixels that it is tested on, still errs often.
    colours = np.concatenate([(scan["image"] // 32).reshape(-1, 3) for scan in scans]).astype(np.int64)
    category = np.concatenate([scan["segmentation"].ravel() for scan in scans])
    cell = colours @ np.array([64, 8, 1])
    table = np.zeros((512, len(SEMANTIC_CLASSES)), np.int64)
    np.add.at(table, (cell, category), 1)
    assert table.max(axis=1).sum() / len(cell) < 0.75


def test_same_seed_same_bytes_and_another_seed_other_bytes(rooms: Path, tmp_path: Path) -> None:
    again = generate(tmp_path / "again", scenes=SCENES, scans=SCANS, size=SIZE, seed=3)
    assert fingerprints(again) == fingerprints(rooms)
    other = fingerprints(generate(tmp_path / "other", scenes=1, scans=1, size=SIZE, seed=4))
    assert other["scene_000/000_image.png"] != fingerprints(rooms)["scene_000/000_image.png"]


def test_a_scene_does_not_depend_on_the_number_of_scenes_or_scans(rooms: Path, tmp_path: Path) -> None:
    fewer = fingerprints(generate(tmp_path / "fewer", scenes=2, scans=3, size=SIZE, seed=3))
    every = fingerprints(rooms)
    files = [name for name in fewer if name.endswith((".png", ".npy"))]
    assert len(files) == 2 * 3 * 8
    assert {name: fewer[name] for name in files} == {name: every[name] for name in files}


@pytest.mark.slow
def test_several_processes_write_the_same_bytes_as_one(tmp_path: Path) -> None:
    one = generate(tmp_path / "one", scenes=2, scans=3, size=32)
    assert fingerprints(generate(tmp_path / "two", scenes=2, scans=3, size=32, jobs=2)) == fingerprints(one)


def test_progress_counts_the_scans(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    generate(tmp_path / "rooms", scenes=2, scans=2, size=16, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_finished_dataset_is_returned_at_once_and_never_replaced(tmp_path: Path) -> None:
    out = generate(tmp_path / "rooms", scenes=1, scans=1, size=16)
    calls: list[tuple[int, int]] = []
    assert generate(out, scenes=1, scans=1, size=16, progress=lambda done, total: calls.append((done, total))) == out
    assert calls == []
    with pytest.raises(ValueError, match="should be a new directory or hold the same dataset"):
        generate(out, scenes=1, scans=2, size=16)


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds other files"):
        generate(tmp_path, scenes=1, scans=1, size=16)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("argument", [{"scenes": 0}, {"scans": 0}, {"size": 8}, {"seed": -1}])
def test_arguments_out_of_range_are_named(tmp_path: Path, argument: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(argument))}` should be at least"):
        generate(tmp_path / "rooms", **argument)


def test_the_cache_directory_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path / "cache"))
    first = cached(scenes=1, scans=1, size=16, seed=5)
    assert first.parent == tmp_path / "cache"
    assert (first / "manifest.json").is_file()
    assert cached(scenes=1, scans=1, size=16, seed=5) == first
    assert cached(scenes=1, scans=1, size=16, seed=6) != first


def start_generating(out: Path, scans: int) -> subprocess.Popen[bytes]:
    program = "import sys; from pathlib import Path; from equipoise.data.rooms import generate; "
    program += f"generate(Path(sys.argv[1]), scenes=1, scans={scans}, size=32)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen([sys.executable, "-c", program, str(out)], env=environment)


@pytest.mark.slow
def test_two_processes_at_once_produce_one_dataset(tmp_path: Path) -> None:
    out = tmp_path / "rooms"
    processes = [start_generating(out, 10) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert fingerprints(out) == fingerprints(generate(tmp_path / "alone", scenes=1, scans=10, size=32))
    assert not list(tmp_path.glob(".rooms.partial-*"))


@pytest.mark.slow
def test_a_killed_process_leaves_nothing_that_blocks_the_next(tmp_path: Path) -> None:
    out = tmp_path / "rooms"
    process = start_generating(out, 100_000)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".rooms.partial-*/scene_000/003_parts.png")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    generate(out, scenes=1, scans=2, size=32)
    assert len(list(out.glob("scene_000/*_image.png"))) == 2
    assert not list(tmp_path.glob(".rooms.partial-*"))
