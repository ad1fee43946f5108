"""QM9: properties of small organic molecules."""

import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from equipoise._core.registry import register
from equipoise.data.core.dataset import NO_OPTIONS, Dataset
from equipoise.data.core.sample import Transform
from equipoise.data.datasets.qm9.molecule import GraphCollate, Molecule, complete_graph, draw_molecule
from equipoise.data.datasets.qm9.sources import load, source_files
from equipoise.tasks import Task
from equipoise.tasks.regression import Regression

MOLECULES, HELD_OUT = 130_831, 10_000
"""The number of usable molecules, and how many of them Gama & Grassi (2025) hold out for `val` and again for `test`."""

TARGETS = {
    "mu": (2.6729529, 1.5034793, 1, "D"),
    "alpha": (75.281185, 8.1738307, 1, "bohr^3"),
    "homo": (-6.5364527, 0.59774125, 1000, "meV"),
    "lumo": (0.32204368, 1.2748554, 1000, "meV"),
    "r2": (1189.4106, 280.47816, 1, "bohr^2"),
    "zpve": (4.0569368, 0.90172315, 1000, "meV"),
    "U0": (-76.116002, 10.323752, 1000, "meV"),
    "U": (-76.580479, 10.415176, 1000, "meV"),
    "H": (-77.018249, 10.489269, 1000, "meV"),
    "G": (-70.836649, 9.4983417, 1000, "meV"),
    "Cv": (31.620364, 4.0675809, 1, "cal/(mol K)"),
}
"""Mean and unbiased standard deviation over all 130,831 molecules (energies in eV); factor and unit of the errors."""


@register("qm9")
class Qm9(Dataset):
    """The molecules of QM9 (Ramakrishnan et al., Scientific Data 2014) as graphs, with the 11 targets of Gama & Grassi.

    Tasks: `mu` (dipole moment, debye), `alpha` (polarisability, bohr^3), `homo` and `lumo` (orbital energies),
    `r2` (spatial extent, bohr^2), `zpve` (zero-point vibrational energy), `U0`, `U`, `H` and `G` (energies of
    atomisation, although their names are those of the total energies), `Cv` (heat capacity, cal/(mol K)). Errors of
    energies are in meV. Targets are standardised by the mean and standard deviation of all 130,831 molecules. These are
    constants, so the tasks are the same with a part of the files.

    A graph joins every two atoms (see `complete_graph`). An atom has 11 features (element, atomic number, aromatic,
    hybridisation, hydrogens), an edge has 5 (kind of bond, distance). RDKit perceives aromatic atoms and bonds and the
    hybridisation. torch-geometric reads the same files without this step, which leaves these columns zero.

    On disk, one of: `gdb9.sdf`, `gdb9.sdf.csv` and `uncharacterized.txt` (3,054 molecules that are left out) in
    `ROOT` or `ROOT/raw`, where torch-geometric puts them; or tables `qm9*.csv` (also `.csv.gz`) with the
    columns of the package qm9pack, in `ROOT` or where that package has them. The molecules are read once and kept in
    the cache directory. The extra `graphs` is needed.

    Splits as in Gama & Grassi: `random.Random(0).shuffle` of all positions; the first 10,000 are `test`, the next
    10,000 `val`, the rest `train`. Of another number of molecules the same shares are held out, at least one.

    Args:
        root: The directory.
        split: `"train"`, `"val"` or `"test"`.
        tasks: See `Dataset`.
        transform: See `Dataset`.

    Raises:
        ValueError: The packages of the extra `graphs` are not installed.
        DatasetError: The files are missing, or one is damaged.
    """

    input = "graph"
    source = (
        "`torch_geometric.datasets.QM9(root)`, or `pip download --no-deps qm9pack` and unpack the wheel (it is a zip "
        "file), or https://doi.org/10.6084/m9.figshare.978904 for the molecules themselves"
    )
    statistics = None
    augmentable = False
    decodes = False

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        split: str = "train",
        tasks: Iterable[str] | None = None,
        transform: Transform | None = None,
    ) -> None:
        super().__init__(root, split=split, tasks=tasks, transform=transform)

    @classmethod
    def all_tasks(cls, root: str | Path | None = None, options: Mapping[str, Any] = NO_OPTIONS) -> tuple[Task, ...]:
        """Return the 11 regressions."""
        return tuple(
            Regression(name=name, mean=mean, std=std, scale=scale, unit=unit)
            for name, (mean, std, scale, unit) in TARGETS.items()
        )

    @classmethod
    def prepare(
        cls, root: str | Path | None, options: Mapping[str, Any], progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Read the molecules into the cache directory."""
        if root is not None:
            load(Path(root).expanduser(), progress)

    @classmethod
    def sources(cls, root: Path, options: Mapping[str, Any]) -> list[Path]:
        """Return the files of the raw distribution or the tables."""
        return source_files(root)

    def identify(self) -> list[str]:
        """Return `gdb_<number>` of the molecules of the split, in the shuffled order."""
        self.first_file = source_files(self.root)[0]
        self.molecules = load(self.root)
        order = list(range(len(self.molecules)))
        random.Random(0).shuffle(order)
        held_out = max(1, round(len(order) * HELD_OUT / MOLECULES))
        test, val, train = order[:held_out], order[held_out : 2 * held_out], order[2 * held_out :]
        rows = {"train": train, "val": val, "test": test}[self.split]
        self.rows = {f"gdb_{self.molecules.numbers[row]}": row for row in rows}
        return list(self.rows)

    def file(self, identifier: str, key: str) -> Path:
        """Return the first of the files, which are all read together."""
        return self.first_file

    def read(self, identifier: str, key: str) -> Any:
        """Return the molecule, or a target as a tensor of one number."""
        row = self.rows[identifier]
        if key == self.input:
            return self.molecules[row]
        task = self.active_tasks[key]
        assert isinstance(task, Regression)
        return task.standardise(self.molecules.properties[row, list(TARGETS).index(key), None])

    def to_input(self, stored: Molecule) -> Any:
        """Return the complete graph of a molecule."""
        return complete_graph(stored)

    def collate(self) -> GraphCollate:
        """Return the function that joins graphs to a batch."""
        return GraphCollate(self.input, self.active_tasks)

    def draw_input(self, sample: Any) -> Tensor:
        """Return a picture of the molecule."""
        return draw_molecule(sample)
