"""A dataset of the user's own, outside the package, works like ours."""

import importlib
import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from typer.testing import CliRunner

from equipoise import data
from equipoise._core.imports import find
from equipoise._core.registry import register
from equipoise.cli.data import app
from equipoise.data.core.registry import datasets
from equipoise.data.storage.files import read_colours, read_lines, read_numbers
from equipoise.tasks import Task
from equipoise.tasks.depth import Depth
from equipoise.tasks.edges import Edges


class Squares(data.Dataset):
    """Images `ROOT/NAME.png` with depths `ROOT/NAME.npy`; `ROOT/SPLIT.txt` lists the names.

    Args:
        root: The directory.
        scale: What depths are multiplied by.
        **common: See `equipoise.data.Dataset`.
    """

    splits = ("train", "val")

    def __init__(self, root: str | Path | None = None, *, scale: float = 1.0, **common: Any) -> None:
        self.scale = scale
        super().__init__(root, **common)

    @classmethod
    def all_tasks(cls, root: str | Path | None = None, options: Mapping[str, Any] | None = None) -> tuple[Task, ...]:
        return Depth(name="depth"), Edges(name="edge")

    def identify(self) -> list[str]:
        return read_lines(self.root / f"{self.split}.txt")

    def file(self, identifier: str, key: str) -> Path:
        return self.root / f"{identifier}.{'npy' if key == 'depth' else 'png'}"

    def read(self, identifier: str, key: str) -> Tensor:
        path = self.file(identifier, key)
        if key == "depth":
            return torch.from_numpy(read_numbers(path))[None] * self.scale
        colours = read_colours(path)
        return colours if key == "image" else (colours[:1] > 127).to(torch.uint8)


def write_squares(root: Path) -> Path:
    root.mkdir()
    for number, name in enumerate("abcd"):
        pixels = np.random.default_rng(number).integers(256, size=(8, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{name}.png")
        np.save(root / f"{name}.npy", np.full((8, 10), number + 1, np.float32))
    (root / "train.txt").write_text("a\nb\nc\n")
    (root / "val.txt").write_text("d\n")
    return root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of squares; the dataset is registered as long as the test runs."""
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path / "cache"))
    assert "squares" not in data.available()
    monkeypatch.setattr(datasets, "_classes", dict(datasets._classes))
    assert register("squares")(Squares) is Squares
    return write_squares(tmp_path / "squares")


def depths(dataset: data.Dataset) -> list[float]:
    return [float(dataset[index]["depth"].mean()) for index in range(len(dataset))]


def test_a_name_may_be_left_out(root: Path) -> None:
    class OneMore(Squares):
        pass

    assert OneMore.name.endswith("OneMore")
    register(OneMore)
    assert data.create("one_more", root=root).name == "one_more"


def test_it_is_listed_and_has_the_name_it_is_registered_under(root: Path) -> None:
    assert "squares" in data.available()
    assert data.dataset_class("squares").name == "squares"
    assert list(data.tasks("squares", ["edge"])) == ["edge"]
    assert data.options("squares") == {"scale": float}


@pytest.mark.parametrize("cache", ["none", "memory", "disk", "auto"])
def test_it_is_opened_by_name(root: Path, cache: str) -> None:
    dataset = data.create("squares", root=root, cache=cache, scale=2.0, transform=data.transforms.Resize((4, 5)))  # type: ignore[arg-type]
    assert depths(dataset) == [2, 4, 6]
    loader: Iterable[dict[str, Tensor]] = DataLoader(dataset, batch_size=3, collate_fn=dataset.collate())
    (batch,) = loader
    assert {key: tuple(values.shape) for key, values in batch.items()} == {
        "image": (3, 3, 4, 5),
        "depth": (3, 1, 4, 5),
        "edge": (3, 1, 4, 5),
    }


def test_what_recipes_do_to_training_samples_works(root: Path) -> None:
    noisy = data.create("squares", root=root, corrupt=data.LabelNoise())
    assert depths(noisy) != depths(data.create("squares", root=root))
    (root / "b.npy").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match=r"1 of 3 samples of 'squares' \(train\).*`equipoise data check squares /"):
        assert data.create("squares", root=root, on_error="skip").identifiers == ["a", "c"]
    with pytest.raises(ValueError, match="scenes, which the dataset 'squares' does not have"):
        data.create("squares", root=root, subset=data.Subset(scans=1))


def test_wrong_arguments_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Did you mean `scale`"):
        data.create("squares", root=root, scales=2.0)
    with pytest.raises(ValueError, match=r"`dataset` should be one of .*Did you mean `squares`"):
        data.create("sqares", root=root)
    with pytest.raises(ValueError, match=r"directory of the dataset 'squares'.*Get it from its author"):
        data.create("squares")
    with pytest.raises(data.DatasetError, match="nowhere: is missing, 'squares' needs it"):
        data.create("squares", root=tmp_path / "nowhere")


def test_it_is_checked_and_drawn(root: Path) -> None:
    report = data.check("squares", root)
    assert report.ok
    assert {split: summary.samples for split, summary in report.splits.items()} == {"train": 3, "val": 1}
    assert data.contact_sheet(data.create("squares", root=root), 2).height > 2 * 128
    np.save(root / "d.npy", np.full((8, 9), 1, np.float32))
    (root / "val.txt").write_text("d\na\n")
    assert {(fault.path.name, fault.what) for fault in data.check("squares", root).faults} == {
        ("d.npy", "should have the size of its image, (8, 10); it has (8, 9)"),
        ("a.png", "is in 'train' and again in 'val'"),
    }


def test_the_command_line_checks_and_draws_it(root: Path, tmp_path: Path, module: Callable[[int], None]) -> None:
    module(2)
    picture = tmp_path / "sheet.png"
    for name in ("squares", "doubling:Doubled"):
        checked = CliRunner().invoke(app, ["check", name, str(root), "--json"])
        assert checked.exit_code == 0, checked.output
        assert json.loads(checked.stdout)["splits"]["train"]["samples"] == 3
        drawn = CliRunner().invoke(app, ["show", name, str(root), "scale=2.0", "-o", str(picture), "--corrupt"])
        assert drawn.exit_code == 0, drawn.output
        picture.unlink()
    (root / "a.png").unlink()
    assert CliRunner().invoke(app, ["check", "squares", str(root)]).exit_code == 1


def test_its_fingerprint_follows_its_files(root: Path, assert_fingerprint_follows: Callable[..., None]) -> None:
    assert_fingerprint_follows(
        "squares",
        root,
        files=["a.png", "d.npy"],
        lists={"train.txt": ("b", "d")},
        options={"scale": 2.0},
    )


MODULE = """
from tests_of_squares import Squares

class Doubled(Squares):
    def __init__(self, root=None, **common):
        super().__init__(root, **common)

    def read(self, identifier, key):
        values = super().read(identifier, key)
        return values * {factor} if key == "depth" else values
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Writes `doubling.py` with a dataset that is not registered."""
    monkeypatch.setitem(sys.modules, "tests_of_squares", sys.modules[__name__])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    monkeypatch.setattr("sys.dont_write_bytecode", True)

    def write(factor: int) -> None:
        (tmp_path / "doubling.py").write_text(textwrap.dedent(MODULE).format(factor=factor))
        importlib.invalidate_caches()
        sys.modules.pop("doubling", None)

    yield write
    sys.modules.pop("doubling", None)


def test_a_class_in_a_module_needs_no_registration(root: Path, module: Callable[[int], None]) -> None:
    module(2)
    name = "doubling:Doubled"
    for cache in ("memory", "disk"):
        assert depths(data.create(name, root=root, cache=cache)) == [2, 4, 6]  # type: ignore[arg-type]
    assert list(data.tasks(name)) == ["depth", "edge"]
    assert data.check(name, root).ok
    assert data.fingerprint(name, root) != data.fingerprint("squares", root)
    assert name not in data.available()
    with pytest.raises(ValueError, match="directory of the dataset 'doubling:Doubled'"):
        data.create(name)
    with pytest.raises(ValueError, match=r"`dataset` should be a name.*`module:Class`.*Found .*doubling:Tripled"):
        data.create("doubling:Tripled", root=root)


def test_a_file_that_a_recipe_imports(root: Path, tmp_path: Path) -> None:
    fingerprints = set()
    for factor in (2, 3):
        path = tmp_path / "own_data.py"
        path.write_text(MODULE.format(factor=factor).replace("from tests_of_squares", f"from {__name__}"))
        find(str(path))
        name = "own_data:Doubled"
        assert depths(data.create(name, root=root, cache="disk")) == [factor, 2 * factor, 3 * factor]
        assert data.dataset_class(name).name == name
        # The code of a dataset has its own place in the key of a run.
        fingerprints.add(data.fingerprint(name, root))
    assert len(fingerprints) == 1


def test_decoded_files_are_not_used_after_the_code_has_changed(root: Path, module: Callable[[int], None]) -> None:
    for factor in (2, 3):
        module(factor)
        assert depths(data.create("doubling:Doubled", root=root, cache="disk")) == [factor, 2 * factor, 3 * factor]


def test_an_inherited_option_with_its_default_does_not_count(root: Path, module: Callable[[int], None]) -> None:
    module(2)
    plain, default, other = (
        data.fingerprint("doubling:Doubled", root, options) for options in ({}, {"scale": 1.0}, {"scale": 3.0})
    )
    assert plain == default != other
