"""Small datasets on disk for the tests of the readers, and what must hold of the fingerprint of each."""

import inspect
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from equipoise import data
from equipoise.data.rooms import generate

TRAIN = ("0003", "0004", "0005", "0009", "0010", "0012", "0013", "0014", "0020", "0021")
TEST = ("0001", "0002", "0006")


@pytest.fixture
def nyud_tree(tmp_path: Path) -> Path:
    """A tree in the layout of `nyud_mini` with ten training and three test images of 12 rows and 16 columns."""
    root, generator = tmp_path / "mini160", np.random.default_rng(0)
    for folder in ("rgb", "depth", "label40"):
        (root / folder).mkdir(parents=True)
    for number in (*TRAIN, *TEST):
        colours = generator.integers(256, size=(12, 16, 3), dtype=np.uint8)
        depth = generator.integers(10, 250, size=(12, 16), dtype=np.uint8)
        labels = generator.integers(40, size=(3, 4), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
        labels[0] = 255
        Image.fromarray(colours).save(root / "rgb" / f"{number}.jpg")
        Image.fromarray(depth).save(root / "depth" / f"{number}.png")
        Image.fromarray(labels).save(root / "label40" / f"{number}.png")
    (root / "train.txt").write_text("\n".join(TRAIN) + "\n")
    (root / "test.txt").write_text("\n".join(TEST) + "\n")
    return root


@pytest.fixture(scope="session")
def generated_rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four small rooms; tests that damage files copy them first."""
    return generate(tmp_path_factory.mktemp("rooms") / "rooms", scenes=4, scans=3, size=32, seed=1)


@pytest.fixture
def assert_fingerprint_follows(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """Asserts that the fingerprint of a tree changes with its files and options, and with nothing else."""

    def copy(root: Path) -> Path:
        return Path(shutil.copytree(root, tmp_path_factory.mktemp("elsewhere") / "under another name"))

    def check(
        name: str,
        root: Path,
        *,
        files: Sequence[str],
        lists: Mapping[str, tuple[str, str]] | None = None,
        options: Mapping[str, object] | None = None,
        folders: bool = True,
    ) -> None:
        """Assert it.

        Args:
            name: The name of the dataset.
            root: The tree.
            files: Files that samples are read from, below the root.
            lists: By its path: a text of a list, and another text of the same length.
            options: Options with other values than their defaults.
            folders: Whether the dataset reads all that is in a folder, rather than files with given names.
        """

        def found(where: Path, **changed: object) -> str:
            try:
                return data.fingerprint(name, where, changed)
            except data.DatasetError:
                return "missing"

        expected = found(root)
        assert len(expected) == 64
        assert data.dataset_class(name).fingerprint(root) == expected

        moved = copy(root)
        for path in moved.rglob("*"):
            os.utime(path, (1, 1))
        (moved / files[0]).with_name(".hidden.png").write_text("written by a file manager")
        link = moved.with_name("link")
        link.symlink_to(moved)
        assert found(moved) == found(link) == found(Path(os.path.relpath(moved))) == expected
        for option, parameter in inspect.signature(data.dataset_class(name)).parameters.items():
            if option in data.options(name):
                assert found(root, **{option: parameter.default}) == expected, option

        changes: dict[str, str] = {}
        for file in files:
            larger, smaller, renamed, added = (copy(root) for _ in range(4))
            (larger / file).write_bytes((root / file).read_bytes() + b"0")
            (smaller / file).unlink()
            other = (renamed / file).with_name(f"x{Path(file).name}")
            (renamed / file).rename(other)
            changes |= {f"{file} larger": found(larger), f"{file} gone": found(smaller)}
            changes[f"{file} renamed"] = found(renamed)
            if folders:
                shutil.copy(root / file, (added / file).with_name(f"x{Path(file).name}"))
                changes[f"{file} twice"] = found(added)
        for file, (before, after) in (lists or {}).items():
            assert len(before) == len(after)
            changed = copy(root) / file
            assert before in changed.read_text()
            changed.write_text(changed.read_text().replace(before, after))
            changes[f"{file} changed"] = found(changed.parents[len(Path(file).parts) - 1])
        for option, value in (options or {}).items():
            changes[option] = found(root, **{option: value})
        assert expected not in changes.values(), {what for what, value in changes.items() if value == expected}

    return check
