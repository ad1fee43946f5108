"""The reader of the public multi-task PASCAL-Context tree."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat
from skimage.morphology import thin

from equipoise import data
from equipoise.data.datasets.pascal_context.labels import (
    INDOOR_CONTEXT_CLASSES,
    borders,
    laplacian_borders,
    read_parts,
    thinned,
)

TRAIN = ("2008_000002", "2008_000003", "2008_000043", "2009_001103")
TEST = ("2008_000008", "2010_000661")
SIZES = {"2008_000008": (12, 18), "2010_000661": (20, 11)}
WALL, SKY = 440, 360


def size_of(name: str) -> tuple[int, int]:
    return SIZES.get(name, (13, 15))


def save(path: Path, values: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def save_palette(path: Path, indices: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(indices, mode="P")
    # Colours that have nothing to do with the indices.
    image.putpalette([(37 * value + 11) % 256 for value in range(768)])
    image.save(path)


def structures(fields: tuple[str, ...], rows: list[tuple[Any, ...]]) -> NDArray[np.void]:
    """An array of structures `[1, n]`, as MATLAB writes it; `[0, 0]` of nothing."""
    array = np.zeros((1, len(rows)) if rows else (0, 0), dtype=[(field, object) for field in fields])
    for index, row in enumerate(rows):
        array[0, index] = row
    return array


Object = tuple[str, int, list[tuple[str, NDArray[np.uint8]]]]


def save_annotation(path: Path, size: tuple[int, int], objects: list[Object]) -> None:
    rows = []
    for kind, number, parts in objects:
        mask = np.zeros(size, dtype=np.uint8)
        mask[2:10, 2:10] = 1
        rows.append((kind, np.uint8(number), mask, structures(("part_name", "mask"), parts)))
    found = structures(("class", "class_ind", "mask", "parts"), rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"anno": structures(("imname", "objects"), [(path.stem, found)])})


def patch(size: tuple[int, int], top: int, left: int) -> NDArray[np.uint8]:
    mask = np.zeros(size, dtype=np.uint8)
    mask[top : top + 4, left : left + 4] = 1
    return mask


def context_map(size: tuple[int, int]) -> NDArray[np.uint16]:
    labels = np.full(size, WALL, dtype=np.uint16)
    labels[:, 7:] = SKY
    return labels


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "PASCALContext"
    for name in (*TRAIN, *TEST):
        size, generator = size_of(name), np.random.default_rng(len(name))
        save(root / "JPEGImages" / f"{name}.jpg", generator.integers(256, size=(*size, 3), dtype=np.uint8))
        classes = generator.integers(21, size=size, dtype=np.uint8)
        classes[0, :2] = 255, 20
        save_palette(root / "semseg" / ("VOC12" if name != TEST[1] else "pascal-context") / f"{name}.png", classes)
        people: list[Object] = [
            ("dog", 12, [("head", patch(size, 0, 0))]),
            ("person", 15, [("torso", patch(size, 2, 2)), ("lhand", patch(size, 4, 4)), ("hair", patch(size, 2, 2))]),
            ("person", 15, []),
            ("person", 15, [("rfoot", patch(size, 6, 2))]),
        ]
        save_annotation(root / "human_parts" / f"{name}.mat", size, people if name != TEST[1] else people[:1])
        save(root / "normals_distill" / f"{name}.png", generator.integers(256, size=(*size, 3), dtype=np.uint8))
        salient = generator.integers(256, size=size, dtype=np.uint8)
        salient[0, :3] = 127, 128, 255
        save(root / "sal_distill" / f"{name}.png", salient)
        labels = root / "pascal-context" / "trainval" / f"{name}.mat"
        labels.parent.mkdir(parents=True, exist_ok=True)
        savemat(labels, {"LabelMap": context_map(size)})
    lists = root / "ImageSets" / "Context"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\n".join(TRAIN) + "\n")
    (lists / "val.txt").write_text("\n".join(TEST))
    return root


def open_pascal(root: Path, **arguments: Any) -> data.Dataset:
    return data.create("pascal_context", root=root, **arguments)


def faults(root: Path, **options: Any) -> dict[str, str]:
    report = data.check("pascal_context", root, **options)
    return {fault.path.relative_to(root).as_posix(): fault.what for fault in report.faults}


def stored(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.array(image)


def test_images_and_labels_of_all_sizes(tree: Path) -> None:
    dataset = open_pascal(tree, split="test")
    assert dataset.identifiers == list(TEST)
    assert dataset[0].keys() == {"image", "seg", "parts", "saliency", "normals", "edge"}
    for index, name in enumerate(TEST):
        sample, size = dataset[index], size_of(name)
        assert all(values.shape[-2:] == size for values in sample.values())
        for key, task in dataset.active_tasks.items():
            assert key not in sample or task.faults(sample[key]) == []


def test_classes_are_the_indices_of_the_palette(tree: Path) -> None:
    sample = open_pascal(tree, split="test", tasks=["seg"])[0]["seg"]
    assert torch.equal(sample, torch.from_numpy(stored(tree / "semseg" / "VOC12" / f"{TEST[0]}.png")).long())
    assert sample[0, :2].tolist() == [255, 20]


def test_classes_of_voc_are_preferred(tree: Path) -> None:
    dataset = open_pascal(tree, split="test", tasks=["seg"])
    assert dataset.file(TEST[1], "seg") == tree / "semseg" / "pascal-context" / f"{TEST[1]}.png"
    save(tree / "semseg" / "VOC12" / f"{TEST[1]}.png", np.full(size_of(TEST[1]), 3, np.uint8))
    assert (dataset[1]["seg"] == 3).all()


def test_parts_are_painted_in_the_order_of_the_file(tree: Path) -> None:
    dataset = open_pascal(tree, split="test", tasks=["parts"])
    size = size_of(TEST[0])
    expected = np.zeros(size, dtype=np.int64)
    for top, left, part in ((2, 2, 2), (4, 4, 4), (2, 2, 1), (6, 2, 6)):
        expected[top : top + 4, left : left + 4] = part
    assert torch.equal(dataset[0]["parts"], torch.from_numpy(expected))


def test_images_without_people_have_no_parts(tree: Path) -> None:
    dataset = open_pascal(tree, split="test", tasks=["parts", "seg"])
    assert dataset[1].keys() == {"image", "seg"}
    assert torch.equal(dataset.read(TEST[1], "parts"), torch.full(size_of(TEST[1]), 255, dtype=torch.uint8))


@pytest.mark.parametrize("objects", [[], [("person", 15, [])], [("cat", 8, [("head", patch((12, 18), 0, 0))])]])
def test_nobody_with_known_parts(tree: Path, objects: list[Object]) -> None:
    save_annotation(tree / "human_parts" / f"{TEST[0]}.mat", size_of(TEST[0]), objects)
    assert "parts" not in open_pascal(tree, split="test")[0]
    assert faults(tree) == {}


def test_a_person_without_any_pixel_does_not_count(tree: Path) -> None:
    path, size = tree / "human_parts" / f"{TEST[0]}.mat", size_of(TEST[0])
    empty = structures(
        ("class", "class_ind", "mask", "parts"),
        [("person", 15, np.zeros(size, np.uint8), structures(("part_name", "mask"), [("head", patch(size, 0, 0))]))],
    )
    savemat(path, {"anno": structures(("imname", "objects"), [("x", empty)])})
    assert read_parts(path) is None


def test_a_stale_list_of_people_changes_nothing(tree: Path) -> None:
    (tree / "ImageSets" / "Parts").mkdir()
    (tree / "ImageSets" / "Parts" / "val.txt").write_text(json.dumps({"2007_000001": [15]}))
    assert faults(tree) == {}
    assert "parts" in open_pascal(tree, split="test")[0]


def test_normals_are_known_where_the_class_is_of_indoors(tree: Path) -> None:
    dataset = open_pascal(tree, split="test", tasks=["normals"])
    normals = dataset[0]["normals"]
    assert (normals[:, :, 7:] == 0).all()
    vectors = 2 * stored(tree / "normals_distill" / f"{TEST[0]}.png").astype(float) / 255 - 1
    expected = torch.from_numpy(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).permute(2, 0, 1).float()
    torch.testing.assert_close(normals[:, :, :7], expected[:, :, :7])


def test_which_classes_are_of_indoors() -> None:
    assert len(set(INDOOR_CONTEXT_CLASSES)) == 170
    # Wall, floor, ceiling, chair, table, sofa, person, car, cat, dog, bottle, bicycle, TV monitor.
    assert {440, 158, 68, 72, 397, 368, 284, 59, 65, 113, 34, 23, 427} <= set(INDOOR_CONTEXT_CLASSES)
    # Aeroplane, bird, boat, bus, cow, grass, horse, motorbike, potted plant, road, sheep, sky, train, tree, unknown.
    assert {2, 25, 31, 45, 98, 187, 207, 258, 308, 324, 347, 360, 416, 420, 431}.isdisjoint(INDOOR_CONTEXT_CLASSES)


def test_saliency_begins_at_128(tree: Path) -> None:
    saliency = open_pascal(tree, split="test", tasks=["saliency"])[0]["saliency"]
    assert torch.equal(saliency[0], torch.from_numpy(stored(tree / "sal_distill" / f"{TEST[0]}.png") >= 128).float())
    assert saliency[0, 0, :3].tolist() == [0, 1, 1]


@pytest.mark.parametrize("rule", ["borders", "laplacian"])
def test_edges_are_thin(tree: Path, rule: str) -> None:
    edge = open_pascal(tree, split="test", tasks=["edge"], edge_rule=rule)[0]["edge"][0]
    assert edge.sum(dim=0).nonzero().flatten().tolist() in ([6], [7])
    # Thinning takes the ends of a line of two pixels.
    assert edge.sum() >= size_of(TEST[0])[0] - 2


label_maps = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).integers(1, 5, size=(5, 6)).repeat(3, 0).repeat(3, 1)
)


@given(label_maps)
@settings(max_examples=50, deadline=None)
def test_edges_as_defined(labels: NDArray[np.int64]) -> None:
    mirrored = np.pad(labels, 1, mode="reflect")
    around = [mirrored[1:-1, :-2], mirrored[1:-1, 2:], mirrored[:-2, 1:-1], mirrored[2:, 1:-1]]
    assert np.array_equal(laplacian_borders(labels), sum(around) - 4 * labels != 0)
    found = borders(labels)
    assert np.array_equal(found, np.any([one != labels for one in around], axis=0))
    assert not (laplacian_borders(labels) & ~found).any()
    assert np.array_equal(thinned(found), thin(found))


def test_the_splits_are_the_official_ones(tree: Path) -> None:
    train, val = (open_pascal(tree, split=split, validation=0.5).identifiers for split in ("train", "val"))
    assert sorted(train + val) == sorted(TRAIN)
    assert len(val) == 2
    assert open_pascal(tree, validation=0).identifiers == list(TRAIN)
    assert open_pascal(tree, split="val", validation=0.5, validation_seed=3).identifiers != val
    with pytest.raises(data.DatasetError, match="`validation` leaves none to 'val'"):
        open_pascal(tree, split="val", validation=0)


def test_a_sound_tree_has_no_faults(tree: Path) -> None:
    report = data.check("pascal_context", tree)
    assert report.faults == []
    assert {split: summary.samples for split, summary in report.splits.items()} == {"train": 4, "test": 2}
    parts = report.splits["test"].tasks["parts"].labels
    assert (parts.samples, parts.labelled) == (1, size_of(TEST[0])[0] * size_of(TEST[0])[1])


def test_a_list_that_broke_off_is_a_fault(tree: Path) -> None:
    with (tree / "ImageSets" / "Context" / "val.txt").open("a") as file:
        file.writelines(f"\n2010_{number:06}" for number in range(600))
    what = faults(tree, tasks=["saliency"])["ImageSets/Context/val.txt"]
    assert what.startswith("should list 5105 images; it lists 602. Get all from")


@pytest.mark.parametrize(
    "folder", ["JPEGImages", "semseg", "human_parts", "sal_distill", "normals_distill", "pascal-context/trainval"]
)
def test_a_missing_folder_is_named(tree: Path, folder: str) -> None:
    (tree / folder).rename(tree / "elsewhere")
    found = faults(tree)
    assert found.keys() == {folder}
    assert "Get it from" in found[folder]


def test_only_what_is_asked_for_needs_to_be_there(tree: Path) -> None:
    for folder in ("semseg", "human_parts", "normals_distill", "pascal-context"):
        (tree / folder).rename(tree / f"no_{folder}")
    assert open_pascal(tree, tasks=["saliency"])[0].keys() == {"image", "saliency"}


def cut(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def annotate(*objects: Object) -> Callable[[Path], None]:
    return lambda path: save_annotation(path, size_of(TEST[0]), list(objects))


def relabel(values: NDArray[np.generic], key: str = "LabelMap") -> Callable[[Path], None]:
    return lambda path: savemat(path, {key: values})


def redraw(values: NDArray[np.generic]) -> Callable[[Path], None]:
    return lambda path: save(path, values)


SIZE = size_of(TEST[0])
BROKEN: list[tuple[str, Callable[[Path], None], str]] = [
    ("JPEGImages/{}.jpg", Path.unlink, "is missing"),
    ("JPEGImages/{}.jpg", cut, "cannot be read"),
    ("semseg/VOC12/{}.png", Path.unlink, "is missing"),
    ("semseg/VOC12/{}.png", cut, "cannot be read"),
    ("semseg/VOC12/{}.png", redraw(np.full(SIZE, 21, np.uint8)), "should hold labels 0 to 20 or 255; it holds 21"),
    ("semseg/VOC12/{}.png", redraw(np.zeros((*SIZE, 3), np.uint8)), "one channel of 8 bits; it has the mode 'RGB'"),
    ("semseg/VOC12/{}.png", redraw(np.zeros((3, 4), np.uint8)), "the size of its image"),
    ("human_parts/{}.mat", Path.unlink, "is missing"),
    ("human_parts/{}.mat", cut, "cannot be read"),
    ("human_parts/{}.mat", lambda path: path.write_bytes(b"no such thing" * 100), "cannot be read"),
    ("human_parts/{}.mat", relabel(np.zeros(SIZE), "annotation"), "should hold the variable `anno`"),
    ("human_parts/{}.mat", relabel(np.zeros(SIZE), "anno"), "should hold a structure as `anno`"),
    ("human_parts/{}.mat", lambda path: savemat(path, {"anno": {"imname": "x"}}), "should have the field `objects`"),
    ("human_parts/{}.mat", annotate(("person", 15, [("wing", patch(SIZE, 0, 0))])), "it names 'wing'"),
    (
        "human_parts/{}.mat",
        annotate(("person", 15, [("head", patch(SIZE, 0, 0)), ("torso", patch((9, 9), 0, 0))])),
        "masks of one size",
    ),
    ("human_parts/{}.mat", annotate(("person", 15, [("head", patch((9, 9), 0, 0))])), "the size of its image"),
    ("sal_distill/{}.png", Path.unlink, "is missing"),
    ("sal_distill/{}.png", redraw(np.zeros((*SIZE, 3), np.uint8)), "one channel of 8 bits"),
    ("sal_distill/{}.png", redraw(np.zeros((5, 5), np.uint8)), "the size of its image"),
    ("normals_distill/{}.png", Path.unlink, "is missing"),
    ("normals_distill/{}.png", redraw(np.zeros((5, 5, 3), np.uint8)), "the size of its context classes"),
    ("pascal-context/trainval/{}.mat", Path.unlink, "is missing"),
    ("pascal-context/trainval/{}.mat", cut, "cannot be read"),
    ("pascal-context/trainval/{}.mat", relabel(context_map(SIZE), "labels"), "should hold the variable `LabelMap`"),
    ("pascal-context/trainval/{}.mat", relabel(np.full(SIZE, 460)), "should hold labels 0 to 459; it holds 460"),
]


@pytest.mark.parametrize(("file", "damage", "words"), BROKEN)
def test_a_broken_file_is_one_fault_that_names_it(
    tree: Path, file: str, damage: Callable[[Path], None], words: str
) -> None:
    file = file.format(TEST[0])
    damage(tree / file)
    found = faults(tree, splits=["test"])
    assert found.keys() == {file}
    assert words in found[file]


@pytest.mark.parametrize(
    ("list_name", "text", "words"),
    [
        ("train", "2008_000002\n2008_000002\n", "lists '2008_000002' twice"),
        ("train", "", "lists nothing"),
        ("val", None, "is missing"),
        ("val", "2008_000002\n", "is in 'train' and again in 'test'"),
    ],
)
def test_broken_lists(tree: Path, list_name: str, text: str | None, words: str) -> None:
    path = tree / "ImageSets" / "Context" / f"{list_name}.txt"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    report = data.check("pascal_context", tree, tasks=["seg"])
    assert len(report.faults) == 1
    assert words in report.faults[0].what


@pytest.mark.parametrize(
    ("options", "words"), [({"validation": -0.1}, "`validation` should be in"), ({"edge_rule": "canny"}, "`edge_rule`")]
)
def test_wrong_options_are_named(tree: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        open_pascal(tree, **options)


def test_real_parts(shared_data: Path) -> None:
    """Every annotation of the real samples; those with people have a picture of the same parts."""
    samples = shared_data / "data" / "pascal" / "part"
    files = sorted((samples / "mat").glob("*.mat"))
    assert len(files) == 18
    with_people = 0
    for file in files:
        parts, drawn = read_parts(file), samples / "human_parts" / f"{file.stem}.png"
        if drawn.exists():
            with_people += 1
            assert parts is not None
            assert np.array_equal(parts, stored(drawn))
        else:
            assert parts is None
    assert with_people == 8


def test_real_palettes(shared_data: Path, tree: Path) -> None:
    """Real files of VOC in the place of the fixture's."""
    (tree / "semseg" / "VOC12" / f"{TEST[0]}.png").unlink()
    real = sorted((shared_data / "data" / "pascal" / "voc_sem").glob("*.png"))
    for source in real:
        for folder, ending in (("JPEGImages", ".jpg"), ("semseg/VOC12", ".png")):
            (tree / folder / source.with_suffix(ending).name).write_bytes(source.with_suffix(ending).read_bytes())
    (tree / "ImageSets" / "Context" / "val.txt").write_text("\n".join(source.stem for source in real))
    dataset = open_pascal(tree, split="test", tasks=["seg"])
    assert {int(label) for index in range(4) for label in dataset[index]["seg"].unique()} == {0, 2, 5, 12, 15, 17, 255}


def test_the_fingerprint_follows_the_files(tree: Path, assert_fingerprint_follows: Callable[..., None]) -> None:
    assert_fingerprint_follows(
        "pascal_context",
        tree,
        files=[f"JPEGImages/{TRAIN[0]}.jpg", f"pascal-context/trainval/{TEST[0]}.mat", f"sal_distill/{TRAIN[1]}.png"],
        lists={"ImageSets/Context/train.txt": (TRAIN[0], "2008_000001")},
        options={"validation": 0.5, "edge_rule": "laplacian"},
    )


def test_what_no_sample_is_read_from_does_not_count(tree: Path) -> None:
    before = data.fingerprint("pascal_context", tree)
    (tree / "ImageSets" / "Parts").mkdir()
    (tree / "ImageSets" / "Parts" / "train.txt").write_text("stale")
    assert data.fingerprint("pascal_context", tree) == before
