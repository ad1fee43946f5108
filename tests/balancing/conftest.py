"""Reference vectors: a small set that lies beside this file, and the whole set where the shared data are."""

import json
from pathlib import Path
from typing import Any

import pytest

SMALL = Path(__file__).parent / "parity_small.json"


class Parity:
    """Reference vectors, all of them or a small part.

    Args:
        folder: Where all of them lie; none for the small part.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def read(self, name: str) -> dict[str, Any]:
        """Return the vectors of a file, such as `sequences_dev`."""
        if self.folder is None:
            return json.loads(SMALL.read_text())[name]
        return json.loads((self.folder / f"{name}.json").read_text())

    def at_least(self, number: int) -> int:
        """Return how many comparisons a test should make that makes so many on the whole set."""
        return 1 if self.folder is None else number


@pytest.fixture(scope="module", params=["small", "whole"])
def parity(request: pytest.FixtureRequest) -> Parity:
    """The vectors; without the shared data, the test runs on the small set alone."""
    if request.param == "small":
        return Parity()
    return Parity(request.getfixturevalue("shared_data") / "parity")
