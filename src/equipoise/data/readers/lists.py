"""The lists of samples that come with a dataset."""

from pathlib import Path

from equipoise.data.errors import DatasetError
from equipoise.data.readers.files import read_lines

SAMPLE = 0.1
"""A list shorter than this share of the official one is a sample of the dataset that somebody took on purpose."""


def read_identifiers(path: Path) -> list[str]:
    """Return the names of samples, one a line, in the order of the list.

    Raises:
        DatasetError: The list is missing, no text, empty, or names a sample twice.
    """
    identifiers = read_lines(path)
    if not identifiers:
        raise DatasetError(path, "lists nothing")
    seen: set[str] = set()
    for identifier in identifiers:
        if identifier in seen:
            raise DatasetError(path, f"lists {identifier!r} twice")
        seen.add(identifier)
    return identifiers


def count_faults(path: Path, found: int, official: int, source: str) -> list[DatasetError]:
    """Return what is wrong with the length of a list: nothing, or that it should be another.

    A small sample of a dataset, for a test or a demonstration, is as it should be; half a dataset is a download that
    broke off.

    Args:
        path: The list.
        found: How many samples it names.
        official: How many there are in the dataset.
        source: Where to get the dataset.

    Examples:
        >>> str(count_faults(Path("train.txt"), 700, 795, "the authors")[0])
        'train.txt: should list 795 images; it lists 700. Get all from the authors'
        >>> count_faults(Path("train.txt"), 8, 795, "the authors")
        []
    """
    if found == official or found < SAMPLE * official:
        return []
    return [DatasetError(path, f"should list {official} images; it lists {found}. Get all from {source}")]
