"""The fingerprint of a dataset is that of its files, wherever they lie; the other readers' tests are in their files."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from equipoise import data


def test_it_follows_the_files(nyud_tree: Path, assert_fingerprint_follows: Callable[..., None]) -> None:
    assert_fingerprint_follows(
        "nyud_mini",
        nyud_tree,
        files=["rgb/0003.jpg", "depth/0001.png", "label40/0021.png"],
        lists={"train.txt": ("0003", "0007"), "test.txt": ("0002", "0008")},
        options={"validation": 0.5, "validation_seed": 1},
    )


def test_it_is_the_same_on_every_machine(tmp_path: Path) -> None:
    # Computed once. Whoever changes how fingerprints are made trains all runs anew.
    for folder in ("rgb", "depth", "label40"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0001.png").write_bytes(bytes(5))
    for name in ("train.txt", "test.txt"):
        (tmp_path / name).write_text("0001\n")
    assert data.fingerprint("nyud_mini", tmp_path, {"validation": 0}) == (
        "c9e02768e209a4dac108d4b1c18f43b046ac8a7d5596668435f6afba9e0a7399"
    )


def test_files_of_other_datasets_beside_it_do_not_count(nyud_tree: Path) -> None:
    before = data.fingerprint("nyud_mini", nyud_tree)
    (nyud_tree / "README").write_text("notes")
    (nyud_tree / "runs").mkdir()
    (nyud_tree / "runs" / "result.json").write_text("{}")
    assert data.fingerprint("nyud_mini", nyud_tree) == before


def test_equal_options_give_one_fingerprint(nyud_tree: Path) -> None:
    first, second = ({"validation": 0.5, "validation_seed": 3}, {"validation_seed": 3, "validation": 0.5})
    assert data.fingerprint("nyud_mini", nyud_tree, first) == data.fingerprint("nyud_mini", nyud_tree, second)


def test_a_link_into_a_directory_above_ends(nyud_tree: Path) -> None:
    before = data.fingerprint("nyud_mini", nyud_tree)
    (nyud_tree / "rgb" / "again").symlink_to(nyud_tree / "rgb")
    (nyud_tree / "rgb" / "nowhere.png").symlink_to(nyud_tree / "gone.png")
    assert data.fingerprint("nyud_mini", nyud_tree) == before


def test_missing_data_are_an_error(nyud_tree: Path, tmp_path: Path) -> None:
    with pytest.raises(data.DatasetError, match=r"nowhere: is missing.*Get it from http"):
        data.fingerprint("nyud_mini", tmp_path / "nowhere")
    with pytest.raises(data.DatasetError, match=r"nyud_mini: needs `root`.*Get it from http"):
        data.fingerprint("nyud_mini")
    (nyud_tree / "test.txt").unlink()
    with pytest.raises(data.DatasetError, match=r"test.txt: is missing"):
        data.fingerprint("nyud_mini", nyud_tree)


@pytest.mark.parametrize("name", [name for name in data.available() if name != "rooms"])
def test_every_dataset_says_that_its_data_are_missing(name: str, tmp_path: Path) -> None:
    for root in (None, tmp_path / "nowhere", tmp_path):
        with pytest.raises(data.DatasetError):
            data.fingerprint(name, root)


def test_unknown_names_are_errors(nyud_tree: Path) -> None:
    with pytest.raises(ValueError, match="Did you mean `nyud_mini`"):
        data.fingerprint("nyud-mini", nyud_tree)
    with pytest.raises(ValueError, match="Did you mean `validation`"):
        data.fingerprint("nyud_mini", nyud_tree, {"valdation": 0.5})


def test_nothing_is_decoded_and_it_is_quick(nyud_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.Image.open", lambda *_: pytest.fail("opened an image"))
    for folder in ("rgb", "depth", "label40"):
        for number in range(1449):
            (nyud_tree / folder / f"{number:04d}.png").write_bytes(b"no picture")
    begin = time.perf_counter()
    data.fingerprint("nyud_mini", nyud_tree)
    assert time.perf_counter() - begin < 1
