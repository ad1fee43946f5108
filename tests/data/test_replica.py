"""Replica, Taskonomy and other datasets in the layouts of Omnidata's tools."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from equipoise import data
from equipoise.data.datasets.replica.omnidata import REPLICA_CLASSES, REPLICA_SPLITS
from equipoise.data.storage.files import image_size, read_wide_plane

FORMS = {
    "downloaded": "{domain}/{component}/{scene}",
    "first loader": "{component}-taskonomized/{scene}/{domain}",
    "taskonomy": "{component}/{domain}/{scene}",
    "scene first": "{component}/{scene}/{domain}",
    "component's own, domains first": "{domain}/{scene}",
    "component's own, scenes first": "{scene}/{domain}",
}
SCENES = ("office_0", "room_0", "room_1", "hotel_0")
VIEWS = ((0, 2), (0, 10), (3, 1))
HEIGHT, WIDTH = 24, 32
HOLE = np.zeros((HEIGHT, WIDTH), dtype=bool)
HOLE[:5, :7] = True


def picture(domain: str, seed: int) -> np.ndarray:
    """An image of one kind as Omnidata stores it."""
    generator = np.random.default_rng(seed)
    if domain == "rgb":
        return generator.integers(256, size=(HEIGHT, WIDTH, 3), dtype=np.uint8)
    if domain == "semantic":
        labels = generator.integers(0, 102, size=(HEIGHT, WIDTH), dtype=np.uint8)
        labels[-1] = 255
        return np.stack([labels, generator.integers(9, size=labels.shape, dtype=np.uint8), labels * 0], -1)
    if domain == "segment_semantic":
        return generator.integers(0, 18, size=(HEIGHT, WIDTH), dtype=np.uint8)
    if domain.startswith("depth"):
        metres = generator.uniform(0.6, 100, size=(HEIGHT, WIDTH)) + (domain == "depth_euclidean")
        return np.where(HOLE, 65535, metres * 512).astype(np.uint16)
    if domain == "mask_valid":
        return np.where(HOLE, 0, 255).astype(np.uint8)
    vectors = generator.normal(size=(HEIGHT, WIDTH, 3))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    codes = np.round((vectors + 1) / 2 * 255).astype(np.uint8)
    codes[HOLE] = 128
    return codes


DOMAINS = ("rgb", "semantic", "depth_zbuffer", "depth_euclidean", "normal", "mask_valid")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Writes a tree; names end as Taskonomy's do, in something else than the name of the folder."""

    def write(form: str = FORMS["downloaded"], component: str = "replica", domains: tuple[str, ...] = DOMAINS) -> Path:
        for scene in SCENES:
            for number, (point, view) in enumerate(VIEWS):
                for domain in domains:
                    folder = tmp_path / form.format(domain=domain, component=component, scene=scene)
                    folder.mkdir(parents=True, exist_ok=True)
                    ending = domain.replace("_", "") if component == "taskonomy" else domain
                    path = folder / f"point_{point}_view_{view}_domain_{ending}.png"
                    Image.fromarray(picture(domain, 10 * SCENES.index(scene) + number)).save(path)
        return tmp_path

    return write


def identifiers(scene: str) -> list[str]:
    return [f"{scene}/point_{point}_view_{view}" for point, view in VIEWS]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_tree_is_read(make: Callable[..., Path], form: str) -> None:
    root = make(FORMS[form])
    splits = {split: data.create("replica", root=root, split=split).identifiers for split in ("train", "val", "test")}
    # Points and views are numbers: 2 comes before 10.
    assert splits == {
        "train": identifiers("hotel_0") + identifiers("room_0"),
        "val": identifiers("office_0"),
        "test": identifiers("room_1"),
    }
    assert data.check("replica", root).faults == []


def test_encodings(make: Callable[..., Path]) -> None:
    dataset = data.create("replica", root=make(), split="val")
    sample = dataset[1]
    seed = 10 * SCENES.index("office_0") + 1
    np.testing.assert_allclose(sample["image"].permute(1, 2, 0) * 255, picture("rgb", seed), atol=1e-4)
    classes = picture("semantic", seed)[..., 0].astype(int)
    np.testing.assert_array_equal(sample["seg"], np.where((classes == 0) | (classes == 255), 255, classes - 1))
    np.testing.assert_allclose(sample["depth"][0], np.where(HOLE, 0, picture("depth_zbuffer", seed) / 512), rtol=1e-6)
    vectors = picture("normal", seed).astype(float) * 2 / 255 - 1
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    expected = np.where(HOLE[..., None], 0, vectors)
    np.testing.assert_allclose(sample["normals"].permute(1, 2, 0), expected, atol=1e-5)
    assert dataset.active_tasks["seg"].channels == 101
    assert all(task.faults(sample[name]) == [] for name, task in dataset.active_tasks.items())


def test_depth_along_the_ray(make: Callable[..., Path]) -> None:
    root = make()
    kinds = [data.create("replica", root=root, tasks=["depth"], depth=kind)[0] for kind in ("zbuffer", "euclidean")]
    known = kinds[0]["depth"] > 0
    torch.testing.assert_close(kinds[1]["depth"][known], kinds[0]["depth"][known] + 1, atol=2 / 512, rtol=0)
    with pytest.raises(ValueError, match="`depth` should be 'zbuffer' or 'euclidean'"):
        data.create("replica", root=root, depth="planar")


def test_what_the_mask_leaves_out_is_unknown(make: Callable[..., Path]) -> None:
    root = make()
    mask = np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)
    mask[:, -4:] = 0
    Image.fromarray(mask).save(root / "mask_valid/replica/room_1/point_0_view_2_domain_mask_valid.png")
    sample = data.create("replica", root=root, split="test")[0]
    unknown = torch.from_numpy(HOLE | (mask == 0))
    assert torch.equal(sample["depth"][0] == 0, unknown)
    assert torch.equal((sample["normals"] == 0).all(0), unknown)


def test_masks_may_be_absent(make: Callable[..., Path]) -> None:
    root = make(domains=("rgb", "depth_zbuffer", "normal", "semantic"))
    sample = data.create("replica", root=root, split="test")[0]
    assert torch.equal(sample["depth"][0] == 0, torch.from_numpy(HOLE))
    assert data.check("replica", root).ok


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_split_file_with_any_line_end(make: Callable[..., Path], end: str) -> None:
    root = make()
    lines = ("id,train,val,test", "room_1,1,0,0", "room_0,0,1,0", "office_0,0,0,1", "hotel_0,0,0,0")
    (root / "train_val_test_replica.csv").write_bytes(end.join(lines).encode())
    for split, scene in (("train", "room_1"), ("val", "room_0"), ("test", "office_0")):
        assert data.create("replica", root=root, split=split).identifiers == identifiers(scene)


def test_several_split_files(make: Callable[..., Path]) -> None:
    root = make()
    for name, scene in (("tiny", "room_1"), ("full", "room_0")):
        (root / f"train_val_test_{name}.csv").write_text(f"id,train,val,test\n{scene},1,0,0\n")
    with pytest.raises(data.DatasetError, match=r"several files of splits: train_val_test_full.csv.*`split_file`"):
        data.create("replica", root=root)
    chosen = data.create("replica", root=root, split_file="train_val_test_tiny.csv")
    assert chosen.identifiers == identifiers("room_1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("room_0,1,0,0\nroom_1,0,1,0\n", "should begin with the line `id,train,val,test`"),
        ("", "should begin with the line"),
        ("id,train,val,test\nroom_0,yes,0,0\n", "should hold a name and 3 times 0 or 1; it holds 'room_0,yes,0,0'"),
        ("id,train,val,test\nroom_0,1\n", "should hold a name and 3 times 0 or 1; it holds 'room_0,1'"),
        ("id,train,val,test\nroom_0,0,1,0\n", "has no scenes of the split 'train' .none listed"),
        ("id,train,val,test\nattic,1,0,0\n", "has no scenes of the split 'train' .attic"),
    ],
)
def test_wrong_split_files_are_named(make: Callable[..., Path], text: str, words: str) -> None:
    root = make()
    (root / "train_val_test_replica.csv").write_text(text)
    with pytest.raises(data.DatasetError, match=f"train_val_test_replica.csv: {words}"):
        data.create("replica", root=root)


def test_a_listed_scene_that_is_missing_is_a_fault(make: Callable[..., Path]) -> None:
    root = make()
    (root / "splits.csv").write_text("id,train,val,test\nroom_0,1,0,0\nattic,1,0,0\nroom_1,0,1,0\noffice_0,0,0,1\n")
    assert data.create("replica", root=root).identifiers == identifiers("room_0")
    (fault,) = data.check("replica", root).faults
    assert str(fault) == f"{root}/rgb/replica/attic: is missing, though splits.csv lists the scene"


def test_taskonomy(make: Callable[..., Path]) -> None:
    domains = ("rgb", "segment_semantic", "depth_zbuffer", "normal")
    root = make(FORMS["taskonomy"], "taskonomy", domains)
    with pytest.raises(data.DatasetError, match="has no file `id,train,val,test` of 'taskonomy'"):
        data.create("replica", root=root, component="taskonomy")
    rows = ("id,train,val,test", "room_0,1,0,0", "room_1,0,1,0", "office_0,0,0,1")
    (root / "train_val_test_tiny.csv").write_text("\r".join(rows))
    dataset = data.create("replica", root=root, component="taskonomy")
    assert dataset.identifiers == identifiers("room_0")
    stored = picture("segment_semantic", 10 * SCENES.index("room_0")).astype(int)
    np.testing.assert_array_equal(dataset[0]["seg"], np.where(stored == 0, 255, stored - 1))
    assert dataset.active_tasks["seg"].classes[0] == "background"
    assert data.check("replica", root, component="taskonomy").ok


def test_images_of_taskonomy_may_have_twice_the_size_of_their_labels(make: Callable[..., Path]) -> None:
    root = make(FORMS["taskonomy"], "taskonomy", ("rgb", "segment_semantic", "depth_zbuffer", "normal"))
    (root / "tiny.csv").write_text("id,train,val,test\nroom_0,1,0,0\nroom_1,0,1,0\noffice_0,0,0,1\n")
    options: dict[str, Any] = {"root": root, "component": "taskonomy", "size": 12}
    before = data.create("replica", **options)[0]
    for path in root.glob("taskonomy/rgb/*/*.png"):
        with Image.open(path) as image:
            image.resize((2 * image.width, 2 * image.height), Image.Resampling.NEAREST).save(path)
    after = data.create("replica", **options)[0]
    assert all(torch.equal(before[name], after[name]) for name in ("seg", "depth", "normals"))
    assert after["image"].shape == before["image"].shape
    assert data.check("replica", root, component="taskonomy", size=12).ok


def test_other_components_have_geometry_alone(make: Callable[..., Path]) -> None:
    root = make(component="hypersim", domains=("rgb", "depth_zbuffer", "normal"))
    (root / "train_val_test_hypersim.csv").write_text("id,train,val,test\nroom_0,1,0,0\n")
    dataset = data.create("replica", root=root, component="hypersim")
    assert dataset[0].keys() == {"image", "depth", "normals"}
    with pytest.raises(ValueError, match="`tasks` should be one of depth, normals"):
        data.create("replica", root=root, component="hypersim", tasks=["seg"])


def test_size(make: Callable[..., Path]) -> None:
    root = make()
    whole = data.create("replica", root=root)[0]
    small = data.create("replica", root=root, size=12)[0]
    assert {values.shape[-2:] for values in small.values()} == {(12, 12)}
    # Height 24 to 12: every second pixel, counted between centres, of the middle 24 columns.
    for name in ("seg", "depth", "normals"):
        assert torch.equal(small[name], whole[name][..., 1::2, 5:29:2])
    middle = whole["image"][:, :, 4:28]
    assert (small["image"].mean() - middle.mean()).abs() < 0.02
    with pytest.raises(ValueError, match="`size` should be 1 or more"):
        data.create("replica", root=root, size=0)


def test_scenes_for_subsets(make: Callable[..., Path]) -> None:
    root = make()
    assert len(data.create("replica", root=root, subset=data.Subset(scans=1))) == 2
    (scene,) = {
        name.split("/")[0] for name in data.create("replica", root=root, subset=data.Subset(scenes=1)).identifiers
    }
    assert scene in {"room_0", "hotel_0"}


def test_an_incomplete_view_is_passed_over_and_a_fault(make: Callable[..., Path]) -> None:
    root = make()
    (root / "normal/replica/room_1/point_0_view_10_domain_normal.png").unlink()
    assert data.create("replica", root=root, split="test").identifiers == identifiers("room_1")[::2]
    assert len(data.create("replica", root=root, split="test", tasks=["seg"])) == 3
    (fault,) = data.check("replica", root).faults
    assert fault.path == root / "normal/replica/room_1/point_0_view_10_domain_normal.png"
    assert "is missing" in fault.what


def test_a_missing_domain_is_named(make: Callable[..., Path]) -> None:
    root = make(domains=("rgb", "semantic", "depth_zbuffer", "mask_valid"))
    with pytest.raises(data.DatasetError, match=r"normal/replica/office_0: is missing, or has no images"):
        data.create("replica", root=root, split="val")
    assert data.create("replica", root=root, split="val", tasks=["depth"])[0].keys() == {"image", "depth"}


def test_a_directory_of_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "rgb" / "replica" / "room_0").mkdir(parents=True)
    with pytest.raises(
        data.DatasetError, match=r"has no images `point_P_view_V_.*` of 'replica' in any of rgb/replica/"
    ):
        data.create("replica", root=tmp_path)


def overwrite(change: Callable[[np.ndarray], np.ndarray] | bytes, path: Path) -> None:
    if isinstance(change, bytes):
        path.write_bytes(change)
        return
    with Image.open(path) as image:
        changed = change(np.array(image))
    Image.fromarray(changed).save(path)


def with_class(number: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(pixels: np.ndarray) -> np.ndarray:
        pixels[0, 0, 0] = number
        return pixels

    return change


@pytest.mark.parametrize(
    ("domain", "change", "words"),
    [
        ("semantic", with_class(102), "should hold classes up to 101; it holds 102"),
        ("semantic", lambda pixels: pixels[..., 0], "three channels of 8 bits; it has the mode 'L'"),
        ("semantic", lambda pixels: pixels[:-2], r"should have the size of its image, \(24, 32\)"),
        (
            "depth_zbuffer",
            lambda pixels: (pixels // 256).astype(np.uint8),
            "one channel of 16 bits; it has the mode 'L'",
        ),
        ("depth_zbuffer", lambda pixels: pixels[:, 3:], "mask_valid.*should have the size|should have the size"),
        ("normal", lambda pixels: pixels[..., 0], "three channels of 8 bits"),
        ("rgb", b"no picture", "cannot be read"),
        ("normal", b"", "cannot be read"),
    ],
)
@pytest.mark.parametrize("size", [None, 12])
def test_wrong_files_are_named(
    make: Callable[..., Path],
    domain: str,
    change: Callable[[np.ndarray], np.ndarray] | bytes,
    words: str,
    size: int | None,
) -> None:
    root = make()
    path = root / domain / "replica" / "room_1" / f"point_3_view_1_domain_{domain}.png"
    overwrite(change, path)
    with pytest.raises(data.DatasetError, match=words) as caught:
        data.create("replica", root=root, split="test", size=size)[2]
    assert caught.value.path.name.startswith("point_3_view_1_domain_")
    faults = data.check("replica", root, size=size).faults
    assert faults
    assert {fault.path.name.split("_domain")[0] for fault in faults} == {"point_3_view_1"}


def test_the_lists_are_complete() -> None:
    assert len(set(REPLICA_CLASSES)) == 101
    assert REPLICA_CLASSES[19] == "chair"
    assert REPLICA_CLASSES[39] == "floor"
    assert REPLICA_CLASSES[92] == "wall"
    assert [len(scenes) for scenes in REPLICA_SPLITS.values()] == [10, 4, 4]
    assert len({scene for scenes in REPLICA_SPLITS.values() for scene in scenes}) == 18


def test_sixteen_bits_of_a_real_file(shared_data: Path) -> None:
    folder = shared_data / "data" / "nyud_v2" / "raw16"
    metres = read_wide_plane(folder / "0433_depth.png") / 5000
    assert metres.shape == image_size(folder / "0433_rgb.png") == (480, 640)
    assert 1 < metres[metres > 0].median() < 10
    with pytest.raises(data.DatasetError, match=r"0433_label40.png: should have one channel of 16 bits"):
        read_wide_plane(folder / "0433_label40.png")


@pytest.mark.parametrize("form", FORMS)
def test_the_fingerprint_follows_the_files(
    make: Callable[..., Path], form: str, assert_fingerprint_follows: Callable[..., None]
) -> None:
    root = make(FORMS[form])
    lines = ["id,train,val,test", *(f"{scene},{1 - (k > 1)},{int(k > 1)},0" for k, scene in enumerate(SCENES))]
    (root / "train_val_test_replica.csv").write_text("\n".join(lines))
    files = []
    for domain, scene in (("rgb", "room_0"), ("mask_valid", "office_0"), ("depth_zbuffer", "hotel_0")):
        folder = FORMS[form].format(domain=domain, component="replica", scene=scene)
        files.append(f"{folder}/point_0_view_10_domain_{domain}.png")
    assert_fingerprint_follows(
        "replica",
        root,
        files=files,
        lists={"train_val_test_replica.csv": ("room_0,1,0", "room_0,0,1")},
        options={"depth": "euclidean", "size": 8},
    )


def test_domains_that_are_not_read_do_not_count(make: Callable[..., Path]) -> None:
    root = make()
    before = data.fingerprint("replica", root)
    (root / "normal_other" / "replica" / "room_0").mkdir(parents=True)
    (root / "normal_other" / "replica" / "room_0" / "point_0_view_2_domain_normal_other.png").touch()
    assert data.fingerprint("replica", root) == before
