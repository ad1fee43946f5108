"""The reader of NYU Depth v2 at 160x120."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from equipoise import data
from equipoise.data.core.splits import held_out_runs
from equipoise.data.datasets.nyud_mini import UNLABELLED, label_borders


@pytest.fixture(scope="session")
def mini160(shared_data: Path) -> Path:
    return shared_data / "data" / "nyud_v2" / "mini160"


def ids(root: Path, **arguments: object) -> list[str]:
    return data.create("nyud_mini", root=root, **arguments).identifiers  # type: ignore[arg-type]


def test_reads_what_is_stored(nyud_tree: Path) -> None:
    dataset = data.create("nyud_mini", root=nyud_tree, split="test")
    assert dataset.identifiers == ["0001", "0002", "0006"]
    sample = dataset[1]
    with Image.open(nyud_tree / "depth" / "0002.png") as stored:
        first, last = stored.getpixel((0, 0)), stored.getpixel((15, 11))
    assert sample["depth"][0, 0, 0].item() == pytest.approx((first + 0.5) / 25.5)
    assert sample["depth"][0, 11, 15].item() == pytest.approx((last + 0.5) / 25.5)
    with Image.open(nyud_tree / "label40" / "0002.png") as stored:
        assert sample["seg"][5, 9].item() == stored.getpixel((9, 5))
    assert (sample["seg"][0] == 255).all()
    with Image.open(nyud_tree / "rgb" / "0002.jpg") as stored:
        assert (sample["image"][:, 7, 3] * 255).round().tolist() == list(stored.getpixel((3, 7)))


def test_validation_takes_whole_runs(nyud_tree: Path) -> None:
    train, val = (ids(nyud_tree, split=split, validation=0.35) for split in ("train", "val"))
    assert sorted(train + val) == ids(nyud_tree, validation=0)
    assert 0 < len(val) <= 4
    runs = [{"0003", "0004", "0005"}, {"0009", "0010"}, {"0012", "0013", "0014"}, {"0020", "0021"}]
    assert all(run <= set(val) or run.isdisjoint(val) for run in runs)


def test_validation_depends_on_its_seed_alone(nyud_tree: Path) -> None:
    chosen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        val = ids(nyud_tree, split="val", validation=0.3, validation_seed=seed)
        assert val == ids(nyud_tree, split="val", validation=0.3, validation_seed=seed)
        chosen.add(tuple(val))
    assert len(chosen) > 2


@given(
    numbers=st.sets(st.integers(1, 1449), min_size=1, max_size=80),
    share=st.floats(0, 0.99),
    seed=st.integers(0, 1000),
)
@settings(max_examples=100, deadline=None)
def test_held_out_runs(numbers: set[int], share: float, seed: int) -> None:
    ordered = [f"{number:04d}" for number in sorted(numbers)]
    chosen = {int(number) for number in held_out_runs(ordered, share=share, seed=seed)}
    assert chosen <= numbers
    assert len(chosen) <= round(share * len(numbers))
    for number in chosen:
        assert {number - 1, number + 1} & numbers <= chosen


def test_no_validation_part(nyud_tree: Path) -> None:
    assert len(ids(nyud_tree, validation=0)) == 10
    with pytest.raises(ValueError, match="`validation` should be above 0 for the split 'val'"):
        ids(nyud_tree, split="val", validation=0)
    # No scene is as small as a tenth: the smallest one is taken.
    assert len(ids(nyud_tree, split="val")) == 2
    with pytest.raises(ValueError, match=r"`validation` should be in \[0, 1\)"):
        ids(nyud_tree, validation=1.0)


@pytest.mark.parametrize("missing", ["rgb", "depth", "label40", "train.txt", "test.txt"])
def test_a_missing_part_is_named(nyud_tree: Path, missing: str) -> None:
    (nyud_tree / missing).rename(nyud_tree / "elsewhere")
    with pytest.raises(data.DatasetError, match=f"{missing}: is missing, 'nyud_mini' needs it. Get it from"):
        ids(nyud_tree)


@pytest.mark.parametrize(
    ("numbers", "train", "val"), [("0003", 1, 0), ("0003\n0004", 1, 1), ("0003\n0004\n0005", 2, 1)]
)
def test_the_smallest_trees_are_sound(nyud_tree: Path, numbers: str, train: int, val: int) -> None:
    (nyud_tree / "train.txt").write_text(numbers)
    report = data.check("nyud_mini", nyud_tree)
    assert report.ok
    assert {name: split.samples for name, split in report.splits.items()} == {
        "train": train,
        **({"val": val} if val else {}),
        "test": 3,
    }


def test_a_list_of_something_else_is_named(nyud_tree: Path) -> None:
    (nyud_tree / "test.txt").write_text("0001\nkitchen.jpg\n")
    with pytest.raises(data.DatasetError, match=r"test.txt: should hold numbers of images; it holds 'kitchen.jpg'"):
        ids(nyud_tree, split="test")
    (nyud_tree / "test.txt").write_text("")
    with pytest.raises(data.DatasetError, match=r"test.txt: lists nothing"):
        ids(nyud_tree, split="test")


def borders(rows: list[list[int]]) -> list[list[int]]:
    return label_borders(torch.tensor(rows, dtype=torch.uint8)).tolist()


def test_borders_run_along_the_smaller_label() -> None:
    assert borders([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 3, 3]]) == [[0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]


def test_unlabelled_regions_have_no_border() -> None:
    none = UNLABELLED
    assert borders([[4, 4, 4, none, none, none]]) == [[0, 0, none, none, none, none]]
    # A thin unlabelled thing in front of one region may have edges or not.
    assert borders([[4, 4, none, 4, 4]]) == [[0, none, none, none, 0]]


def test_narrow_seams_between_regions_are_edges() -> None:
    none = UNLABELLED
    assert borders([[4, 4, none, 2, 2]]) == [[0, none, 1, none, 0]]
    assert borders([[4, 4, none, none, 2, 2]]) == [[0, none, none, 1, none, 0]]
    assert borders([[4, 4, none, none, none, 2, 2]]) == [[0, none, none, none, none, none, 0]]


def test_an_edge_beside_the_unlabelled_is_known() -> None:
    none = UNLABELLED
    assert borders([[1, 1, 2, 2], [1, 1, 2, 2], [none, none, none, none], [none] * 4])[0] == [0, 1, 0, 0]
    assert borders([[1, 1, 2, 2], [1, 1, 2, 2], [none, none, none, none], [none] * 4])[1] == [none, 1, none, none]


@given(st.lists(st.sampled_from([0, 1, 2, UNLABELLED]), min_size=30, max_size=30))
@settings(max_examples=100, deadline=None)
def test_borders_of_the_mirror_image_are_the_mirror_image_of_the_borders(labels: list[int]) -> None:
    plane = torch.tensor(labels, dtype=torch.uint8).reshape(5, 6)
    assert torch.equal(label_borders(plane.flip(-1)), label_borders(plane).flip(-1))
    assert torch.equal(label_borders(plane.flip(0)), label_borders(plane).flip(0))
    assert torch.equal(label_borders(plane.T), label_borders(plane).T)


def test_fully_labelled_regions_have_borders_everywhere_they_differ() -> None:
    torch.manual_seed(0)
    plane = torch.randint(3, (20, 30), dtype=torch.uint8)
    edge = label_borders(plane)
    assert set(edge.unique().tolist()) == {0, 1}
    differ = plane[:, 1:] != plane[:, :-1]
    assert ((edge[:, 1:] | edge[:, :-1])[differ] == 1).all()


def test_official_counts(mini160: Path) -> None:
    train, val, test = (ids(mini160, split=split) for split in ("train", "val", "test"))
    assert len(ids(mini160, validation=0)) == 795
    assert len(test) == 654
    assert len(train) + len(val) == 795
    assert 70 <= len(val) <= 80
    assert len({*train, *val, *test}) == 1449


def test_real_samples(mini160: Path) -> None:
    classes, depths = set(), []
    for split in ("train", "test"):
        dataset = data.create("nyud_mini", root=mini160, split=split, validation=0)
        for index in range(0, len(dataset), 12):
            sample = dataset[index]
            assert sample.keys() == {"image", "seg", "depth", "edge"}
            assert sample["image"].shape == (3, 120, 160)
            assert 0 <= sample["image"].min() < sample["image"].max() <= 1
            for name, task in dataset.active_tasks.items():
                assert task.faults(sample[name]) == []
            assert sample["depth"].min() > 0.3
            assert sample["depth"].max() < 10.1
            depths.append(sample["depth"].mean())
            known = sample["edge"][sample["edge"] != 255]
            assert 0.001 < known.mean() < 0.4
            classes |= set(sample["seg"].unique().tolist())
            if split == "train":
                assert 39 not in sample["seg"]
    assert 2.2 < torch.stack(depths).mean() < 3.4
    assert classes >= {*range(25), 39, 255}


@pytest.mark.slow
def test_real_dataset_has_no_faults(mini160: Path) -> None:
    report = data.check("nyud_mini", mini160)
    assert report.faults == []
    assert {split: summary.samples for split, summary in report.splits.items()} == {
        "train": 795 - report.splits["val"].samples,
        "val": report.splits["val"].samples,
        "test": 654,
    }
    assert report.splits["test"].sizes == {(120, 160): 654}
    assert report.splits["train"].tasks["seg"].statistics["histogram"]["other prop"] == 0
    assert report.splits["test"].tasks["seg"].statistics["histogram"]["other prop"] > 0
