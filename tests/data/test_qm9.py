"""QM9: its files, the graphs, the targets and the splits."""

import csv
import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from equipoise import data
from equipoise.data.datasets.qm9 import TARGETS
from equipoise.data.datasets.qm9.molecule import complete_graph
from equipoise.data.datasets.qm9.sources import COLUMNS, left_out

Chem = pytest.importorskip("rdkit.Chem")
AllChem = pytest.importorskip("rdkit.Chem.AllChem")
pytest.importorskip("torch_geometric")

# Methane's own properties; the others need not have theirs.
METHANE = {
    "mu": 0.0, "alpha": 13.21, "homo": -0.3877, "lumo": 0.1171, "r2": 35.3641, "zpve": 0.044749,
    "u0": -40.47893, "u298": -40.476062, "h298": -40.475117, "g298": -40.498597, "cv": 6.469,
}  # fmt: skip
SMILES = ["C", "N", "c1ccccc1", "C#N", "CC=O", "CO", "FC", "C1CC1", "CC#C", "OC=O", "CN", "c1ccoc1"]


def structure(smiles: str) -> Any:
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(molecule, randomSeed=1) == 0
    return molecule


@pytest.fixture(scope="module")
def molecules() -> list[Any]:
    return [structure(smiles) for smiles in SMILES]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path / "cache"))


def write_raw(folder: Path, molecules: list[Any], unusable: tuple[int, ...] = ()) -> Path:
    """The files of the raw distribution."""
    folder.mkdir(parents=True)
    with (folder / "gdb9.sdf").open("w") as file, (folder / "gdb9.sdf.csv").open("w", newline="") as table:
        rows = csv.DictWriter(table, ["mol_id", "A", *METHANE])
        rows.writeheader()
        for number, molecule in enumerate(molecules, start=1):
            block = Chem.Mol(molecule)
            Chem.Kekulize(block, clearAromaticFlags=True)
            block.SetProp("_Name", f"gdb_{number}")
            file.write(Chem.MolToMolBlock(block) + "$$$$\n")
            rows.writerow({"mol_id": f"gdb_{number}", "A": 1.0, **METHANE})
    lines = [*["header"] * 9, *(f"   {number}  CC  CC 0.1" for number in unusable), f"{len(unusable)} compounds", ""]
    (folder / "uncharacterized.txt").write_text("\n".join(lines))
    return folder


def write_table(path: Path, molecules: list[Any], first: int = 1) -> Path:
    """A table of qm9pack."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", newline="") if path.suffix == ".gz" else path.open("w", newline="") as table:
        rows = csv.DictWriter(table, ["Index", "SMILES", "Elements", "XYZ_Ang", *COLUMNS.values()])
        rows.writeheader()
        for number, molecule in enumerate(molecules, start=first):
            places = json.dumps(molecule.GetConformer().GetPositions().round(8).tolist()).replace("0.0,", "0.,")
            rows.writerow(
                {
                    "Index": number,
                    "SMILES": Chem.MolToSmiles(Chem.RemoveHs(molecule), canonical=False),
                    "Elements": str([atom.GetSymbol() for atom in molecule.GetAtoms()]),
                    "XYZ_Ang": places,
                    **{column: METHANE[name] for name, column in COLUMNS.items()},
                }
            )
    return path.parent


def everything(root: Path) -> dict[str, Any]:
    """All molecules of a directory by name."""
    datasets = [data.create("qm9", root=root, split=split) for split in ("train", "val", "test")]
    return {name: dataset.read(name, "graph") for dataset in datasets for name in dataset.identifiers}


def test_both_sources_give_the_same_graphs(tmp_path: Path, molecules: list[Any]) -> None:
    raw = everything(write_raw(tmp_path / "a" / "raw", molecules).parent)
    table = everything(write_table(tmp_path / "b" / "qm9_part1.csv", molecules))
    assert raw.keys() == table.keys() == {f"gdb_{number}" for number in range(1, 13)}
    for name, molecule in raw.items():
        assert torch.equal(molecule.atoms, table[name].atoms), name
        assert torch.equal(molecule.bonds, table[name].bonds), name
        torch.testing.assert_close(molecule.positions, table[name].positions, atol=1e-4, rtol=0)


def test_features_of_atoms_and_edges(tmp_path: Path, molecules: list[Any]) -> None:
    found = everything(write_table(tmp_path / "qm9.csv.gz", molecules))
    methane = complete_graph(found["gdb_1"])
    assert methane.x.tolist() == [[0, 1, 0, 0, 0, 6, 0, 0, 0, 1, 4], *[[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]] * 4]
    # Complete, without loops: 20 directed edges, of which the four bonds count twice.
    assert methane.edge_index.shape == (2, 20)
    assert (methane.edge_index[0] != methane.edge_index[1]).all()
    assert methane.edge_attr[:, :4].sum(0).tolist() == [8, 0, 0, 0]
    start, end = methane.edge_index
    torch.testing.assert_close(methane.edge_attr[:, 4], (methane.pos[start] - methane.pos[end]).norm(dim=1))
    benzene, cyanide, ethanal = (complete_graph(found[f"gdb_{number}"]) for number in (3, 4, 5))
    assert benzene.x[:, 6].tolist() == [1] * 6 + [0] * 6
    assert benzene.edge_attr[:, :4].sum(0).tolist() == [12, 0, 0, 12]
    # sp, sp2, sp3 of hydrogen cyanide's carbon and of ethanal's three heavy atoms.
    assert cyanide.x[0, 7:10].tolist() == [1, 0, 0]
    assert cyanide.edge_attr[:, :4].sum(0).tolist() == [2, 0, 2, 0]
    assert ethanal.x[:3, 7:10].tolist() == [[0, 0, 1], [0, 1, 0], [0, 1, 0]]
    assert ethanal.x[:3, 10].tolist() == [3, 1, 0]


def test_targets_are_standardised_atomisation_energies(tmp_path: Path, molecules: list[Any]) -> None:
    root = write_table(tmp_path / "qm9.csv", molecules)
    for split in ("train", "val", "test"):
        dataset = data.create("qm9", root=root, split=split)
        if "gdb_1" not in dataset.identifiers:
            continue
        sample = dataset[dataset.identifiers.index("gdb_1")]
        found = {name: sample[name].item() * std + mean for name, (mean, std, _, _) in TARGETS.items()}
        expected = {
            "mu": 0.0, "alpha": 13.21, "homo": -10.5498, "lumo": 3.18645, "r2": 35.3641, "zpve": 1.21768,
            "U0": -17.1722, "U": -17.2868, "H": -17.3897, "G": -16.1519, "Cv": 6.469,
        }  # fmt: skip
        assert found == pytest.approx(expected, abs=2e-4)
        task = dataset.active_tasks["U0"]
        metric = task.metrics()["mae"]
        metric.update(sample["U0"] + 0.5, sample["U0"])
        # An error of half a deviation, in meV.
        assert metric.compute().item() == pytest.approx(0.5 * TARGETS["U0"][1] * 1000)
        return
    pytest.fail("methane is in no split")


def test_unusable_molecules_are_left_out_by_their_numbers(tmp_path: Path, molecules: list[Any]) -> None:
    folder = write_raw(tmp_path / "raw", molecules, unusable=(1, 7))
    assert left_out(folder / "uncharacterized.txt") == {1, 7}
    assert everything(folder).keys() == {f"gdb_{number}" for number in range(1, 13) if number not in (1, 7)}


def test_splits_are_shares_of_the_shuffled_positions(tmp_path: Path, molecules: list[Any]) -> None:
    root = write_table(tmp_path / "qm9_part1.csv", molecules[:8])
    write_table(tmp_path / "qm9_part2.csv", molecules[8:], first=9)
    order = list(range(12))
    random.Random(0).shuffle(order)
    names = [f"gdb_{position + 1}" for position in order]
    found = {split: data.create("qm9", root=root, split=split).identifiers for split in ("test", "val", "train")}
    assert found == {"test": names[:1], "val": names[1:2], "train": names[2:]}


def test_hydrogens_are_bound_wherever_they_stand_and_heavy_atoms_are_matched(
    tmp_path: Path, molecules: list[Any]
) -> None:
    root = write_table(tmp_path / "qm9.csv", molecules)
    with (root / "qm9.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # Ethanal with its atoms backwards: hydrogens first, and the oxygen before the carbons.
    ethanal = rows[4]
    ethanal["Elements"] = str(json.loads(ethanal["Elements"].replace("'", '"'))[::-1])
    places = [place.strip("[] ") for place in ethanal["XYZ_Ang"].replace("0.,", "0.0,").split("],")]
    ethanal["XYZ_Ang"] = "[" + ",".join(f"[{place}]" for place in reversed(places)) + "]"
    with (root / "qm9.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    straight = everything(write_table(tmp_path / "other" / "qm9.csv", molecules))["gdb_5"]
    backwards = everything(root)["gdb_5"]
    assert torch.equal(backwards.atoms, straight.atoms.flip(0))
    assert torch.equal(backwards.bonds, straight.bonds.flip(0, 1))


def test_molecules_are_read_once(tmp_path: Path, molecules: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_table(tmp_path / "qm9.csv", molecules)
    counts: list[tuple[int, int]] = []
    data.dataset_class("qm9").prepare(root, {}, lambda done, total: counts.append((done, total)))
    assert counts == [(done, 12) for done in range(1, 13)]
    monkeypatch.setattr("equipoise.data.datasets.qm9.sources.read", None)
    assert len(data.create("qm9", root=root)) == 10
    # A changed file is read anew, which here it cannot be.
    (root / "qm9.csv").write_text("other")
    with pytest.raises(TypeError):
        data.create("qm9", root=root)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text.splitlines()[0], "has no molecule"),
        (lambda text: text.replace("SMILES", "SMILE"), "lacks the column 'SMILES'"),
        (lambda text: text.replace(",N,", ",XX,"), "a line 3 that cannot be used .*'XX' is no molecule"),
        (lambda text: text.replace("13.21", "much", 1), "a line 2 that cannot be used .*'much'"),
        (lambda text: text.replace("13.21", "nan", 1), "a line 2 that cannot be used .alpha is nan"),
        (lambda text: text + text.splitlines()[1], r"qm9.csv: has, .* the molecule 1 2 times"),
        (
            lambda text: text.replace("'H'", "'Br'", 1),
            "a line 2 that cannot be used .*the atoms C Br do not go with 'C'",
        ),
    ],
)
def test_damaged_tables_are_named(tmp_path: Path, molecules: list[Any], damage: Any, words: str) -> None:
    path = write_table(tmp_path / "qm9.csv", molecules) / "qm9.csv"
    path.write_text(damage(path.read_text()))
    with pytest.raises(data.DatasetError, match=words):
        data.create("qm9", root=tmp_path)


def test_incomplete_raw_files_are_named(tmp_path: Path, molecules: list[Any]) -> None:
    folder = write_raw(tmp_path / "raw", molecules)
    content = (folder / "gdb9.sdf").read_text()
    (folder / "gdb9.sdf").write_text(content[: content.index("gdb_12")])
    with pytest.raises(data.DatasetError, match=r"gdb9\.sdf: has 11 records; gdb9\.sdf\.csv has 12 rows"):
        data.create("qm9", root=tmp_path)
    (folder / "gdb9.sdf").write_text(content.replace("gdb_3\n", "gdb_4\n"))
    with pytest.raises(data.DatasetError, match=r"a record 3 called 'gdb_4'; gdb9\.sdf\.csv calls it 'gdb_3'"):
        data.create("qm9", root=tmp_path)
    table = (folder / "gdb9.sdf.csv").read_text()
    (folder / "gdb9.sdf.csv").write_text(table[: table.rindex(",") - 30])
    with pytest.raises(data.DatasetError, match=r"gdb9\.sdf\.csv: has a line 13 that cannot be used"):
        data.create("qm9", root=tmp_path)
    (folder / "gdb9.sdf.csv").write_text(table)
    (folder / "gdb9.sdf").unlink()
    (folder / "gdb9.sdf").mkdir()
    with pytest.raises(data.DatasetError, match=r"gdb9\.sdf: is no file"):
        data.create("qm9", root=tmp_path)
    (folder / "uncharacterized.txt").write_text("")
    with pytest.raises(data.DatasetError, match=r"uncharacterized\.txt: is empty"):
        data.create("qm9", root=tmp_path)
    (folder / "uncharacterized.txt").unlink()
    with pytest.raises(data.DatasetError, match=r"uncharacterized\.txt: is missing beside gdb9\.sdf"):
        data.create("qm9", root=tmp_path)
    with pytest.raises(data.DatasetError, match=r"has neither raw/gdb9\.sdf nor qm9\*\.csv"):
        data.create("qm9", root=tmp_path / "cache")


def test_batches_and_pictures(tmp_path: Path, molecules: list[Any]) -> None:
    dataset = data.create("qm9", root=write_table(tmp_path / "qm9.csv", molecules), tasks=["mu", "G"])
    samples = [dataset[index] for index in range(3)]
    del samples[1]["mu"]
    batch = dataset.collate()(samples)
    assert batch["graph"].num_graphs == 3
    assert batch["graph"].edge_attr.shape[1] == 5
    assert batch["mu"].shape == batch["G"].shape == (3, 1)
    assert batch["mu"].isfinite().flatten().tolist() == [True, False, True]
    assert data.contact_sheet(dataset, 2).width > 3 * 96


@pytest.mark.slow
def test_the_real_sample(shared_data: Path) -> None:
    root = shared_data / "data" / "qm9"
    report = data.check("qm9", root)
    assert report.ok
    assert {split: summary.samples for split, summary in report.splits.items()} == {
        "train": 2535, "val": 229, "test": 229,
    }  # fmt: skip
    # A random sample of the molecules whose means and deviations the tasks have.
    targets = data.create("qm9", root=root).molecules.properties
    for column, (mean, std, _, _) in enumerate(TARGETS.values()):
        assert targets[:, column].mean().item() == pytest.approx(mean, abs=0.1 * std)
        assert targets[:, column].std().item() == pytest.approx(std, rel=0.1)


@pytest.mark.parametrize("source", ["raw", "table"])
def test_the_fingerprint_follows_the_files(
    tmp_path: Path, molecules: list[Any], source: str, assert_fingerprint_follows: Callable[..., None]
) -> None:
    root = tmp_path / "qm9"
    if source == "raw":
        write_raw(root / "raw", molecules, unusable=(3,))
        assert_fingerprint_follows(
            "qm9",
            root,
            files=["raw/gdb9.sdf", "raw/gdb9.sdf.csv"],
            lists={"raw/uncharacterized.txt": ("  3 ", "  4 "), "raw/gdb9.sdf.csv": ("gdb_1,", "gdb_9,")},
            folders=False,
        )
    else:
        write_table(root / "qm9.csv.gz", molecules)
        assert_fingerprint_follows("qm9", root, files=["qm9.csv.gz"], folders=False)
