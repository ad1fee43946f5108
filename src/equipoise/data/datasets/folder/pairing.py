"""Pairs images with labels and chooses the samples of a split, for the dataset `folder`."""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from equipoise.data.core.sample import DatasetError
from equipoise.data.datasets.folder.manifest import IMAGE, SPLIT, Manifest, Splits
from equipoise.data.storage.files import read_identifiers, read_text

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".npy"})
"""Endings of images and maps."""

SPLITS = ("train", "val", "test")

DEFAULT_SHARE = 0.1
"""The share of all samples for validation, and again for the test, if the manifest gives none."""


@dataclass(frozen=True)
class Entry:
    """A sample.

    Attributes:
        image: The file of the image.
        labels: By task: the path of a map below the root, or the label in a table.
        split: The split that a table gives, if any.
    """

    image: Path
    labels: Mapping[str, str]
    split: str | None = None


def entries(root: Path, manifest: Manifest) -> dict[str, Entry]:
    """Return all samples by name: the path of the image, without its ending if directories are paired.

    Raises:
        DatasetError: A directory or table is missing, or a table is wrong.
    """
    return _from_table(root, manifest) if manifest.table is not None else _from_directories(root, manifest)


def strays(root: Path, manifest: Manifest, known: Mapping[str, Entry]) -> list[Path]:
    """Return the files of labels in directories that belong to no image."""
    if manifest.table is not None:
        return []
    return [
        path
        for name, labels in manifest.tasks.items()
        for stem, path in _files(root / (labels.labels or name)).items()
        if stem not in known
    ]


def choose(root: Path, splits: Splits, split: str, known: Mapping[str, Entry]) -> list[str]:
    """Return the names of the samples of a split.

    Raises:
        DatasetError: A list is missing or empty, or names a sample twice or an unknown one.
    """
    if any(entry.split for entry in known.values()):
        return [name for name, entry in known.items() if entry.split == split]
    wanted = getattr(splits, split)
    if isinstance(wanted, str):
        return _listed(root / wanted, known)
    if splits.lists():
        return []
    return _shared_out(list(known), splits)[split]


def _listed(path: Path, known: Mapping[str, Entry]) -> list[str]:
    names = read_identifiers(path)
    for name in names:
        if name not in known:
            raise DatasetError(path, f"names {name!r}, which is no sample; a name is like {next(iter(known), '')!r}")
    return names


def _shared_out(names: Sequence[str], splits: Splits) -> dict[str, list[str]]:
    shares = {"test": splits.test, "val": splits.val}
    if splits.val is None and splits.test is None:
        shares = dict.fromkeys(shares, DEFAULT_SHARE)
    # With a hash nearly every sample stays in its split when others are added.
    left = sorted(names, key=lambda name: hashlib.sha256(f"{splits.seed}:{name}".encode()).digest())
    found: dict[str, list[str]] = {}
    for split, share in shares.items():
        count = min(max(1, round(share * len(names))), len(left)) if isinstance(share, float) and share > 0 else 0
        found[split], left = left[:count], left[count:]
    found["train"] = left
    return {split: sorted(chosen) for split, chosen in found.items()}


def _from_directories(root: Path, manifest: Manifest) -> dict[str, Entry]:
    labels = {name: _files(root / (entry.labels or name)) for name, entry in manifest.tasks.items()}
    return {
        stem: Entry(path, {name: str(found[stem].relative_to(root)) for name, found in labels.items() if stem in found})
        for stem, path in _files(root / (manifest.images or IMAGE)).items()
    }


def _files(directory: Path) -> dict[str, Path]:
    """Return images and maps below a directory by their paths from there, without their endings."""
    if not directory.is_dir():
        raise DatasetError(directory, "is missing; the manifest names it")
    paths = sorted(path for path in directory.rglob("*") if path.suffix.lower() in SUFFIXES)
    found: dict[str, Path] = {}
    for path in paths:
        stem = path.relative_to(directory).with_suffix("").as_posix()
        if stem in found:
            raise DatasetError(path, f"has the same name as {found[stem].name}: one of the two should be elsewhere")
        found[stem] = path
    return found


def _from_table(root: Path, manifest: Manifest) -> dict[str, Entry]:
    path = root / (manifest.table or "")
    reader = csv.DictReader(read_text(path).splitlines())
    image = manifest.images or IMAGE
    columns = {name: labels.labels or name for name, labels in manifest.tasks.items()}
    for column in (image, *columns.values()):
        if column not in (reader.fieldnames or ()):
            raise DatasetError(path, f"should have the column {column!r}; it has {', '.join(reader.fieldnames or ())}")
    found: dict[str, Entry] = {}
    for row in reader:
        # An additional cell has the key None, a missing one the value None.
        if None in row or None in row.values():
            raise DatasetError(path, f"line {reader.line_num} should have {len(reader.fieldnames or ())} cells")
        name = row[image].strip()
        if not name or name in found:
            raise DatasetError(
                path, f"line {reader.line_num} names {'an image twice: ' + name if name else 'no image'}"
            )
        labels = {task: row[column].strip() for task, column in columns.items()}
        split = (row.get(SPLIT) or "").strip() or None
        if split not in (None, *SPLITS):
            raise DatasetError(
                path, f"line {reader.line_num} should name one of {', '.join(SPLITS)}; it names {split!r}"
            )
        found[name] = Entry(root / name, {task: label for task, label in labels.items() if label}, split)
    return found
