"""The files of QM9: which there are, and how their molecules are read and kept."""

import ast
import csv
import gzip
import hashlib
import json
import math
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import safetensors.torch
from filelock import FileLock

from equipoise._core.errors import import_extra
from equipoise.data.core.sample import DatasetError
from equipoise.data.datasets.qm9.chemistry import PROPERTIES, convert, from_record, from_smiles
from equipoise.data.datasets.qm9.molecule import Molecule, Molecules
from equipoise.data.storage.caching import cache_directory
from equipoise.data.storage.files import read_lines

Found = tuple[int, Molecule, list[float]]
"""The number of a molecule, the molecule, and its properties in the order of `PROPERTIES`."""

Progress = Callable[[int, int], None]

STRUCTURES, TABLE, LEFT_OUT = "gdb9.sdf", "gdb9.sdf.csv", "uncharacterized.txt"

COLUMNS = dict(
    zip(
        PROPERTIES,
        (
            "Dipole_debye", "Polarizability_bohr3", "HOMO_au", "LUMO_au", "R2_bohr2", "ZPVE_au",
            "InternalEnergy_0K_au", "InternalEnergy_298K_au", "Enthalphy_298K_au", "GibbsFreeEnergy_298K_au",
            "Heatcapacity_Cv_cal_mol_K",
        ),
        strict=True,
    )
)  # fmt: skip
"""The columns of qm9pack's tables by property (one of them is misspelt there)."""

DESCRIPTION = ("Index", "SMILES", "Elements", "XYZ_Ang")

VERSION = 1
"""The version of the kept files. Raise it whenever reading gives something else."""


def load(root: Path, progress: Progress | None = None) -> Molecules:
    """Return the molecules of a directory. They are read once and kept in the cache directory as plain tensors.

    The names, sizes and dates of the files decide whether the kept molecules are used. Several processes may call this:
    one reads, the others wait.

    Args:
        root: The directory, see `source_files`.
        progress: Called with the number of molecules read and of all.

    Raises:
        DatasetError: The files are missing, or one is damaged.
    """
    paths = source_files(root)
    stamps = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    digest = hashlib.sha256(json.dumps([VERSION, stamps]).encode()).hexdigest()[:16]
    kept = cache_directory() / "qm9" / f"{digest}.safetensors"
    kept.parent.mkdir(parents=True, exist_ok=True)
    # The operating system frees this lock when its holder dies, so a killed process blocks nobody.
    with FileLock(kept.with_suffix(".lock")):
        if not kept.is_file():
            found = list(read(paths, progress))
            if not found:
                raise DatasetError(paths[0], "has no molecule")
            ((number, times),) = Counter(number for number, *_ in found).most_common(1)
            if times > 1:
                raise DatasetError(paths[0], f"has, with what is beside it, the molecule {number} {times} times")
            _write(Molecules.joined(found), kept)
    return Molecules(**safetensors.torch.load_file(kept))


def source_files(root: Path) -> list[Path]:
    """Return the files of QM9 in a directory: the three of the raw distribution, else all tables of qm9pack.

    Raises:
        DatasetError: There are none, or one of the three is missing.
    """
    for folder in (root, root / "raw"):
        if (folder / STRUCTURES).exists():
            found = [folder / name for name in (STRUCTURES, TABLE, LEFT_OUT)]
            for path in found:
                if not path.exists():
                    raise DatasetError(path, f"is missing beside {STRUCTURES}")
            return found
    for folder in (root, root / "data", root / "qm9pack" / "data"):
        tables = sorted(path for path in folder.glob("qm9*.csv*") if path.name.endswith((".csv", ".csv.gz")))
        # qm9pack also has a table of polarizability tensors, whose trace is in the others.
        if tables := [path for path in tables if "polarizability" not in path.name]:
            return tables
    raise DatasetError(root, f"has neither raw/{STRUCTURES} nor qm9*.csv")


def read(paths: list[Path], progress: Progress | None = None) -> Iterator[Found]:
    """Read the molecules of the files that `source_files` found.

    Args:
        paths: The files.
        progress: Called with the number of molecules read and of all.

    Raises:
        DatasetError: A file is damaged, or two of them do not match.
    """
    # Before the first molecule, so that a missing package is not reported as a fault of a file.
    import_extra("rdkit.Chem", extra="graphs", purpose="Reading molecules")
    if paths[0].name != STRUCTURES:
        return _read_tables(paths, progress)
    structures, table, unusable = paths
    return _read_raw(structures, table, unusable, progress)


def left_out(path: Path) -> set[int]:
    """Return the numbers (from 1) of molecules that must not be used because their SMILES could not be confirmed.

    Lines of text before and after the list are ignored. (Old versions of torch-geometric treated the numbers as
    positions from 0 and so left out the wrong molecules.)

    Raises:
        DatasetError: The file is missing, empty or no text.
    """
    lines = read_lines(path)
    if not lines:
        raise DatasetError(path, "is empty")
    entries = (re.match(r"(\d+)\s+(?!compounds)\S", line) for line in lines)
    return {int(entry[1]) for entry in entries if entry is not None}


def _read_raw(structures: Path, table: Path, unusable: Path, progress: Progress | None) -> Iterator[Found]:
    chem = import_extra("rdkit.Chem", extra="graphs", purpose="Reading molecules")
    skipped = left_out(unusable)
    rows = list(_rows(table, ("mol_id", *PROPERTIES)))
    measured = []
    for line, row in enumerate(rows, start=2):
        with _placed(table, f"has a line {line}"):
            measured.append(_properties(row, PROPERTIES))
    if not structures.is_file():
        raise DatasetError(structures, "is no file")
    with structures.open("rb") as file:
        records = chem.ForwardSDMolSupplier(file, removeHs=False, sanitize=False)
        count = 0
        for count, record in enumerate(records, start=1):
            where = f"has a record {count}"
            if record is None:
                raise DatasetError(structures, f"{where} that cannot be read")
            if count > len(rows):
                raise DatasetError(structures, f"{where}; {table.name} has {len(rows)} rows")
            title, row = record.GetProp("_Name").strip(), rows[count - 1]
            if title != row["mol_id"]:
                raise DatasetError(structures, f"{where} called {title!r}; {table.name} calls it {row['mol_id']!r}")
            if count not in skipped:
                with _placed(structures, where):
                    elements = [atom.GetSymbol() for atom in record.GetAtoms()]
                    found = count, from_record(record), convert(measured[count - 1], elements)
                yield found
            if progress is not None:
                progress(count, len(rows))
    if count < len(rows):
        raise DatasetError(structures, f"has {count} records; {table.name} has {len(rows)} rows")


def _read_tables(tables: list[Path], progress: Progress | None) -> Iterator[Found]:
    total = 0
    if progress is not None:
        for table in tables:
            with _opened(table) as file:
                total += sum(1 for _ in file) - 1
    done = 0
    for table in tables:
        for line, row in enumerate(_rows(table, (*DESCRIPTION, *COLUMNS.values())), start=2):
            with _placed(table, f"has a line {line}"):
                elements = ast.literal_eval(row["Elements"])
                # Not JSON: zeros are written as "0.".
                numbers = np.array(re.sub(r"[\[\]\s]", "", row["XYZ_Ang"]).split(","), np.float64)
                positions = numbers.reshape(len(elements), 3)
                properties = _properties(row, COLUMNS.values())
                found = (
                    int(row["Index"]),
                    from_smiles(row["SMILES"], elements, positions),
                    convert(properties, elements),
                )
            yield found
            done += 1
            if progress is not None:
                progress(done, total)


def _properties(row: Mapping[str, str], columns: Iterable[str]) -> dict[str, float]:
    """Return the numbers of some columns by the names of `PROPERTIES`."""
    numbers = {name: float(row[column]) for name, column in zip(PROPERTIES, columns, strict=True)}
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise ValueError(f"{name} is {number}")
    return numbers


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    try:
        with _opened(path) as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise DatasetError(path, f"lacks the column {missing[0]!r}")
            yield from reader
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(path, f"cannot be read ({error})") from error


@contextmanager
def _placed(path: Path, where: str) -> Iterator[None]:
    """Turn errors of an entry into a `DatasetError` that says where the entry is."""
    try:
        yield
    except (ValueError, TypeError, KeyError, SyntaxError) as error:
        raise DatasetError(path, f"{where} that cannot be used ({error})") from error


def _write(molecules: Molecules, path: Path) -> None:
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    os.close(handle)
    try:
        tensors = {field.name: getattr(molecules, field.name) for field in fields(molecules)}
        safetensors.torch.save_file(tensors, partial)
        Path(partial).chmod(0o644)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink()
        raise
