"""Decoded files are kept where they are asked to be, and are never out of date; damaged ones are skipped on request."""

import multiprocessing
import os
import pickle
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from equipoise import data
from equipoise.data.datasets.nyud_mini import NyudMini
from equipoise.data.storage import caching
from equipoise.data.storage.stores import MappedFile, build


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory of this test's own."""
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The parts that have been decoded."""
    found: list[tuple[str, str]] = []
    read = NyudMini.read

    def counting(self: NyudMini, identifier: str, key: str) -> torch.Tensor:
        found.append((identifier, key))
        return read(self, identifier, key)

    monkeypatch.setattr(NyudMini, "read", counting)
    return found


def open_mini(root: Path, **arguments: object) -> data.Dataset:
    return data.create("nyud_mini", root=root, **{"split": "test", **arguments})  # type: ignore[arg-type]


def everything(dataset: data.Dataset) -> list[data.Sample]:
    return [dataset[index] for index in range(len(dataset))]


def assert_equal(first: list[data.Sample], second: list[data.Sample]) -> None:
    assert [sample.keys() for sample in first] == [sample.keys() for sample in second]
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(("where", "decoded"), [("none", 36), ("memory", 12), ("disk", 12)])
def test_every_place_gives_the_same_samples(
    nyud_tree: Path, reads: list[tuple[str, str]], where: str, decoded: int
) -> None:
    expected = everything(NyudMini(nyud_tree, split="test"))
    reads.clear()
    dataset = open_mini(nyud_tree, cache=where)
    for _ in range(3):
        assert_equal(everything(dataset), expected)
    assert len(reads) == decoded


def test_what_is_on_disk_is_used_by_others(nyud_tree: Path, reads: list[tuple[str, str]]) -> None:
    first = everything(open_mini(nyud_tree, cache="disk"))
    reads.clear()
    assert_equal(everything(open_mini(nyud_tree, cache="disk")), first)
    # A network of one task uses what a network of all tasks has left.
    assert open_mini(nyud_tree, cache="disk", tasks=["seg"])[0].keys() == {"image", "seg"}
    assert reads == []


def test_a_changed_file_is_noticed_and_what_it_gave_is_removed(nyud_tree: Path, cache: Path) -> None:
    open_mini(nyud_tree, cache="disk")
    before = {path.name for path in cache.iterdir()}
    Image.fromarray(np.full((12, 16), 7, dtype=np.uint8)).save(nyud_tree / "label40" / "0002.png")
    dataset = open_mini(nyud_tree, cache="disk")
    assert dataset.identifiers[1] == "0002"
    assert (dataset[1]["seg"] == 7).all()
    after = {path.name for path in cache.iterdir()}
    assert len(after) == len(before)
    assert not after & before


def test_other_options_are_other_files(nyud_tree: Path, reads: list[tuple[str, str]]) -> None:
    open_mini(nyud_tree, cache="disk", split="train", validation=0.3)
    reads.clear()
    dataset = open_mini(nyud_tree, cache="disk", split="train", validation=0)
    assert len(reads) == 4 * len(dataset) == 40


def test_views_cannot_change_the_file(nyud_tree: Path) -> None:
    dataset = open_mini(nyud_tree, cache="disk")
    first = everything(dataset)
    for parts in map(dataset.decode, dataset.identifiers):
        parts["image"].zero_()
    assert_equal(everything(open_mini(nyud_tree, cache="disk")), first)


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_samples_may_be_changed(nyud_tree: Path, where: str) -> None:
    dataset = open_mini(nyud_tree, cache=where)
    expected = everything(dataset)
    for sample in everything(dataset):
        for values in sample.values():
            values.fill_(77)
    assert_equal(everything(dataset), expected)
    assert not (expected[0]["depth"] == 77).any()


def test_workers_do_not_receive_what_is_in_memory(nyud_tree: Path) -> None:
    dataset = open_mini(nyud_tree, cache="memory")
    before = len(pickle.dumps(dataset.store))
    everything(dataset)
    assert len(pickle.dumps(dataset.store)) == before


def test_a_damaged_file_raises_when_its_sample_is_taken(nyud_tree: Path) -> None:
    (nyud_tree / "depth" / "0002.png").write_bytes(b"no picture")
    dataset = open_mini(nyud_tree, cache="disk")
    assert dataset[0].keys() == {"image", "seg", "depth", "edge"}
    with pytest.raises(data.DatasetError, match=r"0002.png: cannot be read"):
        dataset[1]


SIZE = 3 * 12 * 16 * (3 + 1 + 4 + 1)
"""Bytes of the decoded test images, labels, depths and edges of `nyud_tree`."""

CHOICES = [
    (SIZE, 0, "Memory"),
    (SIZE - 1, 2 * SIZE, "Disk"),
    (SIZE - 1, 2 * SIZE - 1, "Nothing"),
]


@pytest.mark.parametrize(("small", "free", "kind"), CHOICES)
def test_automatic_choice(nyud_tree: Path, monkeypatch: pytest.MonkeyPatch, small: int, free: int, kind: str) -> None:
    monkeypatch.setattr(caching, "SMALL", small)
    monkeypatch.setattr(caching, "_free_space", lambda: free)
    dataset = open_mini(nyud_tree, cache="auto")
    assert type(dataset.store).__name__ == kind
    assert_equal(everything(dataset), everything(NyudMini(nyud_tree, split="test")))


def test_a_cache_that_cannot_be_written_is_no_obstacle(
    nyud_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path / "file" / "below"))
    monkeypatch.setattr(caching, "SMALL", 0)
    assert len(everything(open_mini(nyud_tree, cache="auto"))) == 3
    with pytest.raises(OSError, match="file"):
        open_mini(nyud_tree, cache="disk")


@pytest.mark.parametrize("start", [pytest.param("fork"), pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_share_what_is_on_disk(nyud_tree: Path, start: str) -> None:
    dataset = open_mini(nyud_tree, cache="disk")
    assert len(pickle.dumps(dataset.store)) < 2000
    loader = DataLoader(dataset, num_workers=2, collate_fn=dataset.collate(), multiprocessing_context=start)
    expected = DataLoader(dataset, collate_fn=dataset.collate())
    assert_equal(list(loader), list(expected))


def _build_slowly(path: Path, seconds: float) -> None:
    def decode(name: str) -> torch.Tensor:
        time.sleep(seconds)
        return torch.full((2, 3), int(name))

    build(path, [str(number) for number in range(40)], decode)


def _values(file: MappedFile) -> list[int]:
    tensors = [file.get(str(number)) for number in range(40)]
    return [int(tensor[1, 2]) for tensor in tensors if tensor is not None]


def test_two_processes_build_one_file_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_build_slowly, args=(tmp_path / "f", 0.01)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    file = build(tmp_path / "f", [], lambda name: pytest.fail("should be there"))
    assert _values(file) == list(range(40))


def test_a_killed_build_is_made_again(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_build_slowly, args=(tmp_path / "f", 0.5))
    process.start()
    while not (tmp_path / "f.partial").exists():
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    assert not (tmp_path / "f.bin").exists()
    _build_slowly(tmp_path / "f", 0)
    assert _values(MappedFile(tmp_path / "f")) == list(range(40))
    assert not (tmp_path / "f.partial").exists()


def test_a_truncated_file_is_made_again(tmp_path: Path) -> None:
    _build_slowly(tmp_path / "f", 0)
    data_file = tmp_path / "f.bin"
    data_file.write_bytes(data_file.read_bytes()[:100])
    _build_slowly(tmp_path / "f", 0)
    assert _values(MappedFile(tmp_path / "f")) == list(range(40))


def test_tensors_of_all_types_and_shapes_come_back(tmp_path: Path) -> None:
    tensors = {
        "byte": torch.arange(6, dtype=torch.uint8).reshape(1, 2, 3),
        "half": torch.randn(3, 5, dtype=torch.float16),
        "long": torch.tensor(-7),
        "bool": torch.tensor([True, False, True]),
        "nothing": torch.zeros(0, 4),
        "turned": torch.arange(6.0).reshape(2, 3).T,
    }
    file = build(tmp_path / "f", list(tensors), tensors.__getitem__)
    for name, tensor in tensors.items():
        found = file.get(name)
        assert found is not None
        assert found.dtype == tensor.dtype
        assert torch.equal(found, tensor)


@pytest.mark.parametrize("where", ["none", "memory", "disk"])
def test_damaged_samples_are_left_out_on_request(nyud_tree: Path, where: str) -> None:
    (nyud_tree / "rgb" / "0001.jpg").unlink()
    Image.fromarray(np.zeros((12, 8), dtype=np.uint8)).save(nyud_tree / "label40" / "0006.png")
    with pytest.warns(UserWarning, match=r"2 of 3 samples of 'nyud_mini' \(test\) are left out. The first: .*0001.jpg"):
        dataset = open_mini(nyud_tree, on_error="skip", cache=where)
    assert dataset.identifiers == ["0002"]
    assert [(identifier, error.path.name) for identifier, error in dataset.skipped] == [
        ("0001", "0001.jpg"),
        ("0006", "0006.png"),
    ]
    loader = DataLoader(dataset, num_workers=2, collate_fn=dataset.collate())
    assert len(list(loader)) == 1


def test_a_label_that_is_not_asked_for_may_be_damaged(nyud_tree: Path) -> None:
    (nyud_tree / "depth" / "0001.png").unlink()
    assert len(open_mini(nyud_tree, on_error="skip", tasks=["seg"])) == 3


def test_a_split_without_a_sound_sample_is_an_error(nyud_tree: Path) -> None:
    shutil.rmtree(nyud_tree / "rgb")
    (nyud_tree / "rgb").mkdir()
    with pytest.raises(data.DatasetError, match="no sample of the split 'test' can be used"):
        open_mini(nyud_tree, on_error="skip")


@pytest.mark.parametrize(("argument", "word"), [("cache", "disc"), ("on_error", "skp")])
def test_other_words_are_refused(nyud_tree: Path, argument: str, word: str) -> None:
    with pytest.raises(ValueError, match=f"`{argument}` should be one of .*Did you mean"):
        open_mini(nyud_tree, **{argument: word})
