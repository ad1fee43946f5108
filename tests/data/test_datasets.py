"""All datasets: creation by name, samples, batches, contact sheets."""

import pickle
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from equipoise import data
from equipoise.data.inspection import sheet
from equipoise.data.transforms import Compose, RandomCrop, RandomHorizontalFlip
from equipoise.tasks import Task
from equipoise.tasks.depth import Depth
from equipoise.tasks.semantic_segmentation import Parts, SemanticSegmentation


class Stripes(data.Dataset):
    """Six samples without a directory of files; every second one has no parts, and one has no depth."""

    name = "stripes"
    splits = ("train", "empty")
    source = "the test itself"

    def __init__(self, root: str | Path | None = None, **common: object) -> None:
        self.reads: list[tuple[str, str]] = []
        super().__init__(root, **common)  # type: ignore[arg-type]

    @classmethod
    def all_tasks(cls, root: object = None, options: object = None) -> tuple[Task, ...]:
        return (
            SemanticSegmentation(name="seg", classes=("a", "b")),
            Depth(name="depth"),
            Parts(name="parts", classes=("background", "head")),
        )

    def identify(self) -> list[str]:
        return [str(i) for i in range(6)] if self.split == "train" else []

    def file(self, identifier: str, key: str) -> Path:
        return self.root / f"{identifier}.{key}"

    def read(self, identifier: str, key: str) -> Tensor:
        self.reads.append((identifier, key))
        number = int(identifier)
        planes = {
            "image": torch.full((3, 4, 6), 50 * number, dtype=torch.uint8),
            "seg": torch.full((4, 6), number % 2, dtype=torch.uint8),
            "depth": torch.full((1, 4, 6), float(number), dtype=torch.float16),
            "parts": torch.full((4, 6), number % 2, dtype=torch.uint8),
        }
        return planes[key]


def test_every_dataset_is_named_after_its_file() -> None:
    assert set(data.available()) >= {"nyud_mini", "rooms"}
    for name in data.available():
        found = data.dataset_class(name)
        assert found.name == name
        assert found.__module__.endswith(f".{name}")
        assert found.splits
        # The tasks of `folder` are those of its manifest.
        if name != "folder":
            assert [task.name for task in found.all_tasks()] == list(data.tasks(name))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "nyud_mnii"}, "`dataset` should be one of .* Did you mean `nyud_mini`"),
        ({"split": "tset"}, "`split` should be one of train, val, test.* Did you mean `test`"),
        ({"tasks": ["seg", "dept"]}, "`tasks` should be one of .* Did you mean `depth`"),
        ({"tasks": []}, "`tasks` should name one of seg, depth, edge"),
        ({"valdation": 0.2}, "Dataset `nyud_mini` takes the options .* Did you mean `validation`"),
        ({"root": None}, "`root` should be the directory of the dataset 'nyud_mini'.*Get it from"),
    ],
)
def test_wrong_arguments_are_named(nyud_tree: Path, arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        data.create(**{"name": "nyud_mini", "root": nyud_tree, **arguments})  # type: ignore[arg-type]


def test_a_missing_directory_is_named_with_its_source(tmp_path: Path) -> None:
    with pytest.raises(data.DatasetError, match=r"nowhere: is missing.*Get it from http"):
        data.create("nyud_mini", root=tmp_path / "nowhere")


def test_a_split_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(data.DatasetError, match="no samples of the split 'empty'"):
        Stripes(tmp_path, split="empty")


def test_samples_have_the_encoding_of_their_tasks(tmp_path: Path) -> None:
    sample = Stripes(tmp_path)[3]
    assert {key: (values.dtype, tuple(values.shape)) for key, values in sample.items()} == {
        "image": (torch.float32, (3, 4, 6)),
        "seg": (torch.int64, (4, 6)),
        "depth": (torch.float32, (1, 4, 6)),
        "parts": (torch.int64, (4, 6)),
    }
    torch.testing.assert_close(sample["image"], torch.full((3, 4, 6), 150 / 255))


def test_a_target_without_labels_is_absent(tmp_path: Path) -> None:
    dataset = Stripes(tmp_path)
    assert dataset[0].keys() == {"image", "seg"}
    assert dataset[2].keys() == {"image", "seg", "depth"}
    assert dataset[3].keys() == {"image", "seg", "depth", "parts"}


def test_what_is_not_asked_for_is_not_read(tmp_path: Path) -> None:
    dataset = Stripes(tmp_path, tasks=["depth"])
    assert dataset[1].keys() == {"image", "depth"}
    assert dataset.reads == [("1", "image"), ("1", "depth")]
    assert list(dataset.active_tasks) == ["depth"]


def test_what_is_kept_cannot_be_changed_from_outside(tmp_path: Path) -> None:
    dataset = Stripes(tmp_path)
    first = dataset[5]
    for values in first.values():
        values.zero_()
    second = dataset[5]
    assert (second["depth"] == 5).all()
    assert (second["image"] == 250 / 255).all()


def test_the_transform_gets_the_active_tasks(tmp_path: Path) -> None:
    seen: list[Iterable[str]] = []

    def transform(sample: data.Sample, tasks: dict[str, Task]) -> data.Sample:
        seen.append(list(tasks))
        return {**sample, "depth": sample["depth"] * 0}

    dataset = Stripes(tmp_path, tasks=["seg", "depth"], transform=transform)  # type: ignore[arg-type]
    assert "depth" not in dataset[1]
    assert seen == [["seg", "depth"]]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_loading_batches(nyud_tree: Path, workers: int) -> None:
    transform = Compose((RandomCrop((8, 8)), RandomHorizontalFlip()))
    dataset = data.create("nyud_mini", root=nyud_tree, validation=0, transform=transform)
    # "spawn" sends the dataset to its workers by pickling, which is what Windows and macOS do.
    loader = DataLoader(
        Subset(dataset, range(6)),
        batch_size=3,
        num_workers=workers,
        collate_fn=data.Collate(dataset.active_tasks),
        multiprocessing_context="spawn" if workers else None,
    )
    batches = list(loader)
    assert len(batches) == 2
    assert batches[0]["image"].shape == (3, 3, 8, 8)
    assert batches[0]["seg"].shape == (3, 8, 8)
    assert batches[0]["depth"].shape == (3, 1, 8, 8)


def test_augmentation_follows_the_seed_of_the_loader(nyud_tree: Path) -> None:
    dataset = data.create("nyud_mini", root=nyud_tree, validation=0, transform=RandomCrop((8, 8)))

    def epoch(seed: int) -> Tensor:
        torch.manual_seed(seed)
        loader = DataLoader(dataset, batch_size=10, shuffle=True, collate_fn=data.Collate(dataset.active_tasks))
        return next(iter(loader))["image"]

    assert torch.equal(epoch(5), epoch(5))
    assert not torch.equal(epoch(5), epoch(6))


def test_collate_fills_missing_labels(tmp_path: Path) -> None:
    dataset = Stripes(tmp_path)
    batch = data.Collate(dataset.active_tasks)([dataset[0], dataset[1], dataset[2]])
    assert batch["depth"].flatten(1)[:, 0].tolist() == [0, 1, 2]
    assert batch["parts"].flatten(1)[:, 0].tolist() == [255, 1, 255]
    assert batch["seg"].dtype == torch.int64


def test_collate_leaves_out_what_no_sample_has(tmp_path: Path) -> None:
    dataset = Stripes(tmp_path)
    assert data.Collate(dataset.active_tasks)([dataset[0], dataset[2]]).keys() == {"image", "seg", "depth"}


def test_collate_names_different_sizes() -> None:
    samples = [{"image": torch.zeros(3, 4, 5)}, {"image": torch.zeros(3, 4, 6)}]
    with pytest.raises(ValueError, match=r"\(4, 5\), \(4, 6\).*add `Resize`"):
        data.Collate({})(samples)


def test_contact_sheet_has_a_row_a_sample_and_a_column_a_task(nyud_tree: Path) -> None:
    dataset = data.create("nyud_mini", root=nyud_tree, split="test")
    sheets = {n: data.contact_sheet(dataset, n) for n in (1, 2, 3, 9)}
    heights = [sheets[n].height for n in (1, 2, 3)]
    assert heights[1] - heights[0] == heights[2] - heights[1] > 8 * 12
    assert sheets[9].size == sheets[3].size
    narrow = data.contact_sheet(data.create("nyud_mini", root=nyud_tree, split="test", tasks=["seg"]), 1)
    # Small pictures are enlarged eight times.
    assert sheets[1].width - narrow.width == 2 * (8 * 16 + sheet.MARGIN)


def test_contact_sheet_shows_the_images(tmp_path: Path) -> None:
    picture = data.contact_sheet(Stripes(tmp_path, tasks=["parts"]), 6)
    # 4 rows and 6 columns, enlarged 22 times.
    top, height, width = 3 * sheet.LINE + sheet.MARGIN, 4 * 22 + sheet.LINE + sheet.MARGIN, 6 * 22 + sheet.MARGIN
    assert picture.size == (2 * width + sheet.MARGIN, 6 * height + 2 * sheet.LINE + sheet.MARGIN)
    colours = [picture.getpixel((sheet.MARGIN + 1, top + height * row + 1)) for row in range(6)]
    assert colours == [(50 * i,) * 3 for i in range(6)]
    # Samples 0, 2, 4 have no parts: their place stays white.
    labels = [picture.getpixel((sheet.MARGIN + width + 1, top + height * row + 1)) for row in range(6)]
    assert [label == (255, 255, 255) for label in labels] == [True, False] * 3


def test_contact_sheet_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`n` should"):
        data.contact_sheet(Stripes(tmp_path), 0)


def test_survives_pickling(nyud_tree: Path) -> None:
    dataset = data.create("nyud_mini", root=nyud_tree, split="test", transform=RandomHorizontalFlip(1.0))
    copy, collate = pickle.loads(pickle.dumps((dataset, data.Collate(dataset.active_tasks))))
    assert torch.equal(copy[2]["depth"], dataset[2]["depth"])
    assert collate.tasks == dataset.active_tasks
