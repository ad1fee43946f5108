"""The user's own data: manifests, pairing, encodings, splits."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from equipoise import data, tasks
from equipoise.config import ConfigError, RunConfig, parse
from equipoise.data.datasets.folder.manifest import read_manifest
from equipoise.data.transforms import Compose, Pad, RandomHorizontalFlip, RandomScale, RandomWindow
from equipoise.tasks.depth import Depth
from equipoise.tasks.semantic_segmentation import Parts

SIZES = {"a": (6, 8), "b": (10, 4), "c": (5, 5), "d": (7, 9)}


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        Image.fromarray(pixels).save(path)


def write(root: Path, manifest: object) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    return root


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four images of different sizes, `photos/a.jpg` to `photos/deep/d.png`."""
    for name, (height, width) in SIZES.items():
        path = f"photos/{'deep/' if name == 'd' else ''}{name}.{'jpg' if name == 'a' else 'png'}"
        save(tmp_path / path, np.full((height, width, 3), 10 * ord(name) % 256, np.uint8))
    return tmp_path


ALL = {"train": "train.txt"}


def opened(root: Path, manifest: dict[str, object], **options: object) -> data.Dataset:
    """All samples of `photos` as the training split."""
    (root / "train.txt").write_text("a\nb\nc\ndeep/d\n")
    return data.create("folder", root=write(root, {"images": "photos", "splits": ALL, **manifest}), **options)  # type: ignore[arg-type]


def test_directories_are_paired_by_name_and_labels_may_be_missing(photos: Path) -> None:
    save(photos / "masks" / "a.png", np.array([[0, 7, 8, 11] * 2] * 6, np.uint8))
    save(photos / "masks" / "deep" / "d.png", np.full((7, 9), 8, np.uint8))
    save(photos / "depth" / "b.png", np.full((10, 4), 2500, np.uint16))
    dataset = opened(
        photos,
        {
            "tasks": {
                "surface": {
                    "kind": "parts",
                    "labels": "masks",
                    "classes": {8: "background", 7: "road", 11: "building"},
                },
                "depth": {"kind": "depth", "factor": 0.001, "unlabelled": 65535, "farthest": 80},
            }
        },
    )
    assert dataset.active_tasks == {
        "surface": Parts(name="surface", classes=("background", "road", "building")),
        "depth": Depth(name="depth", farthest=80.0),
    }
    samples = dict(zip(dataset.identifiers, dataset, strict=False))
    assert {name: set(sample) for name, sample in samples.items()} == {
        "a": {"image", "surface"},
        "b": {"image", "depth"},
        "c": {"image"},
        # All background: the kind `parts` counts that as unlabelled.
        "deep/d": {"image"},
    }
    # In the order of the manifest; what it does not list is unlabelled.
    assert samples["a"]["surface"][0].tolist() == [255, 1, 0, 2] * 2
    torch.testing.assert_close(samples["b"]["depth"], torch.full((1, 10, 4), 2.5))
    assert samples["deep/d"]["image"].shape == (3, 7, 9)


ENCODINGS = [
    # A file, what the manifest says of it, the target that becomes of it.
    ("semantic_segmentation", ".png", np.array([[0, 2, 255]], np.uint8), {"classes": ["x", "y", "z"]}, [[0, 2, 255]]),
    ("semantic_segmentation", ".npy", np.array([[0, 9, 1]]), {"classes": ["x", "y"], "unlabelled": 9}, [[0, 255, 1]]),
    (
        "semantic_segmentation",
        ".png",
        np.array([[1, 2, 3]], np.uint8),
        {"classes": ["x", "y"], "shift": -1, "unlabelled": [3]},
        [[0, 1, 255]],
    ),
    ("depth", ".npy", np.array([[1.5, 0.0, 3.0]]), {}, [[[1.5, 0, 3]]]),
    ("depth", ".png", np.array([[100, 65535, 0]], np.uint16), {"factor": 0.01, "unlabelled": 65535}, [[[1, 0, 0]]]),
    ("depth", ".png", np.array([[10, 0, 9]], np.uint8), {"factor": 0.1, "shift": 1, "unlabelled": 9}, [[[2, 1, 0]]]),
    ("edges", ".png", np.array([[0, 255, 127]], np.uint8), {}, [[[0, 1, 0]]]),
    ("edges", ".png", np.array([[0, 1, 9]], np.uint8), {"factor": 1, "unlabelled": 9}, [[[0, 1, 255]]]),
    ("saliency", ".npy", np.array([[0, 1, 1]], np.uint8), {}, [[[0, 1, 1]]]),
    (
        "surface_normals",
        ".png",
        np.array([[[255, 128, 128], [128, 128, 0], [128, 128, 128]]], np.uint8),
        {},
        [[[1, 0, 0]], [[0, 0, 0]], [[0, -1, 0]]],
    ),
    (
        # y up and z towards the camera, as in computer graphics.
        "surface_normals",
        ".png",
        np.array([[[128, 255, 128], [128, 128, 255], [0, 0, 0]]], np.uint8),
        {"factor": [2 / 255, -2 / 255, -2 / 255], "shift": [-1, 1, 1], "unlabelled": 0},
        [[[0, 0, 0]], [[-1, 0, 0]], [[0, -1, 0]]],
    ),
    (
        "surface_normals",
        ".npy",
        np.array([[[0.0, 0, -2], [0, 0, 0], [0, 1, 0]]]),
        {},
        [[[0, 0, 0]], [[0, 0, 1]], [[-1, 0, 0]]],
    ),
    ("reconstruction", ".png", np.array([[0, 255, 51]], np.uint8), {"mean": [0.2], "std": [0.4]}, [[[-0.5, 2, 0]]]),
    ("disparity", ".npy", np.array([[1.5, 0, 3]]), {"factor": 2}, [[[3, 0, 6]]]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "suffix", "stored", "entry", "expected"), ENCODINGS)
def test_encodings(tmp_path: Path, kind: str, suffix: str, stored: np.ndarray, entry: dict, expected: list) -> None:
    save(tmp_path / "photos" / "a.png", np.zeros((*stored.shape[:2], 3), np.uint8))
    save(tmp_path / "labels" / f"a{suffix}", stored)
    manifest = {"images": "photos", "splits": ALL, "tasks": {"t": {"kind": kind, "labels": "labels", **entry}}}
    (tmp_path / "train.txt").write_text("a")
    dataset = data.create("folder", root=write(tmp_path, manifest))
    target = dataset.read("a", "t").to(dataset.active_tasks["t"].dtype)
    torch.testing.assert_close(target.float(), torch.tensor(expected).float(), atol=0.01, rtol=0)
    assert target.shape == torch.tensor(expected).shape


def test_numbers_of_things_become_offsets(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.png", np.zeros((1, 4, 3), np.uint8))
    save(tmp_path / "instance" / "a.png", np.array([[7, 7, 7, 0]], np.uint8))
    (tmp_path / "train.txt").write_text("a")
    entry = {"kind": "instance_offsets", "unlabelled": 0}
    root = write(tmp_path, {"images": "photos", "splits": ALL, "tasks": {"instance": entry}})
    assert data.create("folder", root=root)[0]["instance"][1].tolist() == [[-1, 0, 1, float("inf")]]


HEADER = (
    "image,split",
    '"depth: {kind: depth, factor: 0.5}"',
    '"sky: {kind: classification, classes: [sun, rain]}"',
    '"wind: {kind: regression, mean: 3, std: 2}"',
)
TABLE = f"""{",".join(HEADER)}
photos/a.jpg,train,near/a.npy,sun,5
photos/b.png,train,,1,
photos/c.png,val,,,1
photos/deep/d.png,test,,rain,0
"""


def test_a_table_alone_is_a_manifest(photos: Path) -> None:
    (photos / "manifest.csv").write_text(TABLE)
    save(photos / "near" / "a.npy", np.full((6, 8), 3.0))
    train, val, test = (data.create("folder", root=photos, split=split) for split in ("train", "val", "test"))
    assert list(train.active_tasks) == ["depth", "sky", "wind"]
    assert [set(sample) for sample in (*train, *val, *test)] == [
        {"image", "depth", "sky", "wind"}, {"image", "sky"}, {"image", "wind"}, {"image", "sky", "wind"},
    ]  # fmt: skip
    assert (train[0]["depth"] == 1.5).all()
    assert (train[0]["sky"], train[1]["sky"], test[0]["sky"]) == (0, 1, 1)
    assert [train[0]["wind"].item(), val[0]["wind"].item()] == [1.0, -1.0]
    assert data.check("folder", photos).ok
    assert data.contact_sheet(train, 2).height > 0


def test_a_table_beside_a_manifest(photos: Path) -> None:
    (photos / "list.csv").write_text("file,weather\nphotos/a.jpg,sun\nphotos/b.png,rain\nphotos/c.png,sun\n")
    entry = {"kind": "classification", "labels": "weather", "classes": ["sun", "rain"]}
    manifest = {"table": "list.csv", "images": "file", "tasks": {"sky": entry}, "splits": {"val": 0.34, "test": 0.34}}
    (photos / "other.yaml").write_text(yaml.safe_dump(manifest))
    splits = ("train", "val", "test")
    found = [data.create("folder", root=photos, split=split, manifest="other.yaml") for split in splits]
    assert [len(dataset) for dataset in found] == [1, 1, 1]
    assert data.tasks("folder", root=photos, manifest="other.yaml")["sky"] == tasks.create(
        "classification", name="sky", classes=("sun", "rain")
    )


def test_shares_follow_the_seed_and_keep_what_there_was(tmp_path: Path) -> None:
    for number in range(40):
        save(tmp_path / "photos" / f"{number}.png", np.zeros((2, 2, 3), np.uint8))
    (tmp_path / "depth").mkdir()

    def names(split: str, **splits: object) -> set[str]:
        manifest = {"images": "photos", "tasks": {"depth": {"kind": "depth"}}, **({"splits": splits} if splits else {})}
        return set(data.create("folder", root=write(tmp_path, manifest), split=split).identifiers)

    by_default = {split: names(split) for split in ("train", "val", "test")}
    assert {split: len(found) for split, found in by_default.items()} == {"train": 32, "val": 4, "test": 4}
    assert len(set.union(*by_default.values())) == 40
    assert names("val", val=0.1, test=0.1, seed=1) != by_default["val"]
    save(tmp_path / "photos" / "new.png", np.zeros((2, 2, 3), np.uint8))
    assert len(names("test") & by_default["test"]) >= 3


def test_one_size_for_batches(photos: Path) -> None:
    save(photos / "depth" / "a.npy", np.ones((6, 8)))
    (photos / "depth" / "deep").mkdir()
    dataset = opened(photos, {"tasks": {"depth": {"kind": "depth"}}}, size=(4, 4))
    batch = dataset.collate()([dataset[index] for index in range(4)])
    assert batch["image"].shape == (4, 3, 4, 4)
    assert batch["depth"].flatten(1).sum(1).tolist() == [16, 0, 0, 0]


def test_transforms_leave_labels_of_whole_images_alone(photos: Path) -> None:
    (photos / "manifest.csv").write_text(TABLE)
    save(photos / "near" / "a.npy", np.full((6, 8), 3.0))
    recipe = (RandomScale(0.5, 2.0), RandomWindow((4, 4)), RandomHorizontalFlip(1.0), Pad((9, 9)))
    sample = data.create("folder", root=photos, transform=Compose(recipe))[0]
    assert sample["image"].shape == (3, 9, 9)
    assert sample["depth"].shape == (1, 9, 9)
    assert (sample["sky"], sample["wind"].item()) == (0, 1.0)


def test_a_changed_manifest_is_seen_through_the_cache(
    photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path_factory.mktemp("cache")))
    save(photos / "depth" / "a.npy", np.ones((6, 8)))
    for factor in (2, 30):
        dataset = opened(photos, {"tasks": {"depth": {"kind": "depth", "factor": factor}}}, cache="disk")
        assert (dataset[0]["depth"] == factor).all()


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({}, "`tasks`: Field required"),
        ([], "cannot be used: it should say `images: ...` and `tasks: ...`"),
        ({"tasks": {"image": {"kind": "depth"}}}, "should not be called 'image' .* Found 'image'"),
        ({"tasks": {"a.b": {"kind": "depth"}}}, "or have a dot in its name. Found 'a.b'"),
        ({"tasks": {"t": {"kind": "parts", "classes": ["a", "b", "a"]}}}, "should have a name each. Found a, b, a"),
        ({"tasks": {"t": {"kind": "depth", "labels": "photos"}}, "splits": {"train": "empty.txt"}}, "lists nothing"),
        (
            {"tasks": {"t": {"kind": "depth", "labels": "photos"}}, "splits": {"val": "empty.txt"}},
            "manifest.yaml: leaves none of 4 samples to the split 'train'",
        ),
        ({"tasks": {"t": {"kind": "depht"}}}, "Did you mean `depth`"),
        ({"tasks": {"t": {"kind": "depth", "farhest": 3}}}, "`depth` takes the options .* Did you mean `farthest`"),
        ({"tasks": {"t": {"kind": "depth", "farthest": "far"}}}, "`farthest`: .*valid number"),
        ({"tasks": {"t": {"kind": "semantic_segmentation"}}}, "`classes` should hold"),
        ({"tasks": {"t": {"kind": "regression"}}}, "`t` has one label for an image, which needs a `table`"),
        ({"tasks": {"t": {"kind": "depth", "labels": "nowhere"}}}, "nowhere: is missing; the manifest names it"),
        ({"tasks": {"t": {"kind": "depth"}}, "split": {}}, "`split`: Extra inputs"),
        ({"tasks": {"t": {"kind": "depth"}}, "splits": {"val": 0.5, "test": 0.6}}, "leave something. Found"),
        ({"tasks": {"t": {"kind": "depth"}}, "splits": {"val": 0.5, "test": "test.txt"}}, "not both"),
        ({"tasks": {"t": {"kind": "depth", "labels": "photos"}}, "splits": {"train": "no.txt"}}, "no.txt: is missing"),
        ({"table": "no.csv", "tasks": {"t": {"kind": "depth"}}}, "no.csv: is missing"),
        ({"table": "list.csv", "tasks": {"t": {"kind": "depth"}}}, "should have the column 'image'; it has file"),
    ],
)
def test_wrong_manifests_are_explained(photos: Path, manifest: object, words: str) -> None:
    (photos / "list.csv").write_text("file,t\n")
    (photos / "empty.txt").touch()
    if isinstance(manifest, dict) and "table" not in manifest:
        manifest = {"images": "photos", **manifest}
    with pytest.raises(data.DatasetError, match=words):
        data.create("folder", root=write(photos, manifest))


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("near/none.npy,sun,5", "none.npy: is missing"),
        (
            ",fog,5",
            r"manifest\.csv: photos/a\.jpg: a label of `sky` should be one of sun, rain, or an index. Found 'fog'",
        ),
        (",sun,much", r"manifest\.csv: photos/a\.jpg: could not convert string to float: 'much'"),
        (",sun,nan", "a label of `wind` should be finite"),
        ("photos/a.jpg,sun,5", r"a\.jpg: should have 1 channels for `depth`; it has 3"),
        ("photos/b.png,sun,5", "should have 1 channels"),
    ],
)
def test_wrong_labels_are_named(photos: Path, cell: str, words: str) -> None:
    (photos / "manifest.csv").write_text(TABLE.replace("near/a.npy,sun,5", cell))
    with pytest.raises(data.DatasetError, match=words):
        data.create("folder", root=photos)[0]


@pytest.mark.parametrize("cells", ["photos/a.jpg,train", "photos/a.jpg,train,near/a.npy,sun,5,6"])
def test_a_row_of_another_length_is_refused(photos: Path, cells: str) -> None:
    (photos / "manifest.csv").write_text(TABLE.replace("photos/a.jpg,train,near/a.npy,sun,5", cells))
    with pytest.raises(data.DatasetError, match=r"manifest\.csv: line 2 should have 5 cells"):
        data.create("folder", root=photos)


@pytest.mark.parametrize("kind", ["parts", "instance_offsets"])
def test_fractions_are_no_classes_or_things(photos: Path, kind: str) -> None:
    save(photos / "t" / "a.npy", np.full(SIZES["a"], 1.5))
    classes = {"classes": ["x", "y"]} if kind == "parts" else {}
    dataset = opened(photos, {"tasks": {"t": {"kind": kind, **classes}}})
    with pytest.raises(data.DatasetError, match=r"a\.npy: should hold whole numbers; it holds 1.5 and 47 more"):
        dataset[0]


def test_labels_that_break_their_encoding_are_drawn_and_skipped(photos: Path) -> None:
    for name, value in (("a", np.nan), ("b", 2.0)):
        save(photos / "depth" / f"{name}.npy", np.full(SIZES[name], value))
    save(photos / "seg" / "b.png", np.full(SIZES["b"], 9, np.uint8))
    manifest = {"tasks": {"depth": {"kind": "depth"}, "seg": {"kind": "semantic_segmentation", "classes": ["x"]}}}
    data.contact_sheet(opened(photos, manifest))
    with pytest.warns(UserWarning, match=r"2 of 4 samples of 'folder' .*a\.npy: depths should be finite"):
        assert opened(photos, manifest, on_error="skip").identifiers == ["c", "deep/d"]


def test_a_task_without_any_label_is_a_fault(photos: Path) -> None:
    (photos / "depth").mkdir()
    (fault,) = opened(photos, {"tasks": {"depth": {"kind": "depth"}}}).faults()
    assert str(fault) == f"{photos}/manifest.yaml: gives no sample a label of 'depth'"


def test_a_map_of_another_size_is_a_fault(photos: Path) -> None:
    save(photos / "depth" / "a.npy", np.ones((8, 6)))
    save(photos / "depth" / "z.npy", np.ones((8, 6)))
    dataset = opened(photos, {"tasks": {"depth": {"kind": "depth"}}})
    with pytest.raises(data.DatasetError, match=r"a\.npy: should have the size .*, \(6, 8\); it has \(8, 6\)"):
        dataset[0]
    faults = {(fault.path.name, fault.what.split(",")[0]) for fault in data.check("folder", photos).faults}
    assert ("z.npy", "is a label without an image of the same name") in faults
    assert ("a.npy", "should have the size of its image") in faults


def test_names_that_clash_are_refused(photos: Path) -> None:
    save(photos / "photos" / "a.png", np.zeros((6, 8, 3), np.uint8))
    (photos / "depth").mkdir()
    with pytest.raises(data.DatasetError, match=r"a\.png: has the same name as a\.jpg"):
        opened(photos, {"tasks": {"depth": {"kind": "depth"}}})


def test_a_table_that_repeats_an_image_is_refused(photos: Path) -> None:
    (photos / "manifest.csv").write_text(TABLE + "photos/a.jpg,val,,,\n")
    with pytest.raises(data.DatasetError, match=r"line 6 names an image twice: photos/a\.jpg"):
        data.create("folder", root=photos)


def test_an_unknown_split_is_refused(photos: Path) -> None:
    (photos / "manifest.csv").write_text(TABLE.replace(",val,", ",valid,"))
    with pytest.raises(data.DatasetError, match="line 4 should name one of train, val, test; it names 'valid'"):
        data.create("folder", root=photos)


def test_without_a_manifest_the_way_to_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(data.DatasetError, match=r"manifest\.yaml: is missing; docs/datasets\.md"):
        data.create("folder", root=tmp_path)
    with pytest.raises(ValueError, match="its manifest says which tasks there are"):
        data.tasks("folder")


def test_recipes_know_the_tasks_of_a_manifest(photos: Path) -> None:
    (photos / "manifest.csv").write_text(TABLE)
    content = {"data": {"name": "folder", "root": str(photos)}, "tasks": ["sky", "wind"], "balancer": "uniform"}
    assert list(RunConfig.model_validate(content).data.tasks(["sky"])) == ["sky"]
    with pytest.raises(ConfigError, match="Did you mean `wind`"):
        parse({**content, "tasks": ["wnd"]}, RunConfig, "recipe")


PAGE = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
MANIFESTS = [
    (language, block)
    for language, block in re.findall(r"```(yaml|csv)\n(.*?)```", PAGE, re.DOTALL)
    if "data:" not in block
]


@pytest.mark.parametrize(("language", "block"), MANIFESTS, ids=str)
def test_manifests_of_the_documentation_can_be_read(tmp_path: Path, language: str, block: str) -> None:
    path = tmp_path / f"manifest.{language}"
    path.write_text(block, encoding="utf-8")
    assert len(read_manifest(path).all_tasks()) >= 2


def test_the_page_tells_of_every_kind() -> None:
    assert all(f"`{kind}`" in PAGE for kind in tasks.available())


def test_the_fingerprint_follows_the_files(photos: Path, assert_fingerprint_follows: Callable[..., None]) -> None:
    save(photos / "masks" / "a.png", np.zeros((6, 8), np.uint8))
    save(photos / "masks" / "deep" / "d.png", np.zeros((7, 9), np.uint8))
    save(photos / "raw" / "a.png", np.zeros((6, 8), np.uint8))
    tasks = {"surface": {"kind": "semantic_segmentation", "labels": "masks", "classes": ["a", "b"]}}
    opened(photos, {"tasks": tasks})
    before = data.fingerprint("folder", photos)
    # The manifest does not name these.
    save(photos / "raw" / "b.png", np.zeros((6, 8), np.uint8))
    (photos / "other.yaml").write_text((photos / "manifest.yaml").read_text())
    assert data.fingerprint("folder", photos) == before
    assert_fingerprint_follows(
        "folder",
        photos,
        files=["photos/a.jpg", "photos/deep/d.png", "masks/a.png"],
        lists={"manifest.yaml": ("- a\n", "- c\n"), "train.txt": ("deep/d", "weep/d")},
        options={"size": (4, 4), "manifest": "other.yaml"},
        folders=False,
    )
    save(photos / "photos" / "e.png", np.zeros((6, 8, 3), np.uint8))
    assert data.fingerprint("folder", photos) != before


def test_the_fingerprint_follows_the_table(photos: Path, assert_fingerprint_follows: Callable[..., None]) -> None:
    (photos / "manifest.csv").write_text(TABLE)
    save(photos / "near" / "a.npy", np.ones((6, 8)))
    assert_fingerprint_follows(
        "folder",
        photos,
        files=["photos/a.jpg", "near/a.npy"],
        lists={"manifest.csv": ("sun", "fog")},
        options={"size": (4, 4)},
        folders=False,
    )
