"""Small datasets on disk for the tests of the readers."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
