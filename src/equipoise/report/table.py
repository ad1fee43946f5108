"""The comparison table: a row a method, a column a metric, delta_m and the mean loss weights."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from equipoise.config import SINGLE
from equipoise.studies import Record
from equipoise.training.files import write_text
from equipoise.training.selection import FALLBACK

_PROTOCOLS = {
    "validation": "Checkpoints chosen on validation data held out from training; the test split was read once.",
    "paper_one": "Checkpoints chosen on the test split itself, as paper one did: the numbers are optimistic.",
}


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: What it shows.
        higher_is_better: Which direction is better, if one is.
        decimals: How many; by default as many as give the largest number of the column four digits.
    """

    title: str
    higher_is_better: bool | None = None
    decimals: int | None = None


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        variant: The variant of the study that it belongs to, if the study has variants.
        name: Of the method.
        runs: How many runs it has in the study.
        finished: How many of them are finished; the numbers are means over these.
        values: The number of each column, or none.
    """

    variant: str | None
    name: str
    runs: int
    finished: int
    values: tuple[float | None, ...]

    @property
    def title(self) -> str:
        """The name, with a remark if some of its runs are not finished."""
        return self.name if self.finished == self.runs else f"{self.name} ({self.finished}/{self.runs} runs)"


@dataclass(frozen=True)
class Table:
    """A table of numbers with names.

    Attributes:
        columns: One a number.
        rows: One a method.
        notes: Sentences to stand below.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    @property
    def has_variants(self) -> bool:
        """Whether rows belong to variants."""
        return any(row.variant for row in self.rows)

    def begins(self, row: int) -> bool:
        """Whether a row is the first of its variant."""
        return self.has_variants and (row == 0 or self.rows[row].variant != self.rows[row - 1].variant)

    def cell(self, row: int, column: int) -> str:
        """A number as text."""
        value = self.rows[row].values[column]
        if value is None:
            return "–"
        decimals = self.columns[column].decimals
        if decimals is None:
            largest = max(abs(row.values[column] or 0.0) for row in self.rows)
            decimals = max(0, 4 - len(str(int(largest)))) if largest >= 1 else 4
        # Adding zero turns -0.0 into 0.0.
        return f"{round(value, decimals) + 0.0:.{decimals}f}"

    def best(self, column: int) -> int | None:
        """The row of the best number of a column; none where no direction is better or there is nothing to compare."""
        higher = self.columns[column].higher_is_better
        found = [(value, row) for row, line in enumerate(self.rows) if (value := line.values[column]) is not None]
        if higher is None or len(found) < 2:
            return None
        return (max if higher else min)(found, key=lambda pair: pair[0])[1]


def comparison(records: Sequence[Record], directions: Mapping[str, bool]) -> Table:
    """The table of a study.

    Args:
        records: Its runs. Rows are means over seeds; the single-task networks of all tasks make one row.
        directions: The main metric of every task as `task.metric`, and whether a higher value is better.
    """
    tasks = list(dict.fromkeys(key.split(".")[0] for key in directions))
    columns = [Column(key.replace(".", " "), higher) for key, higher in directions.items()]
    columns += [Column("delta_m %", True, 2), *(Column(f"weight {task}", decimals=2) for task in tasks)]
    rows = []
    for variant, name in dict.fromkeys((record.variant, record.balancer) for record in records):
        group = [record for record in records if (record.variant, record.balancer) == (variant, name)]
        done = [record for record in group if record.status == "finished"]
        values = [_mean([record.metrics[key] for record in done if key in record.metrics]) for key in directions]
        # A mean over some of the single-task networks is not that of the row.
        whole = len(done) == len(group) or name != SINGLE
        values.append(_mean([record.delta_m for record in done if record.delta_m is not None]) if whole else None)
        values += [_mean([record.weights[task] for record in done if task in record.weights]) for task in tasks]
        rows.append(Row(variant, name, len(group), len(done), tuple(values)))
    return Table(tuple(columns), tuple(rows), _notes(records))


def on_console(table: Table) -> RichTable:
    """The table for a terminal; the best of a column is bold."""
    shown = RichTable(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    shown.add_column("method")
    for column in table.columns:
        # Two lines of title, so that five tasks fit into 80 columns.
        shown.add_column(_title(column).replace(" ", "\n", 1), justify="right", no_wrap=True)
    for row, line in enumerate(table.rows):
        cells = [
            Text(table.cell(row, column), style="bold" if table.best(column) == row else "")
            for column in range(len(table.columns))
        ]
        if table.begins(row):
            shown.add_row(Text(line.variant or "", style="italic"))
        shown.add_row(Text(f"  {line.title}" if table.has_variants else line.title), *cells)
    return shown


def write_markdown(table: Table, path: Path) -> None:
    """Write the table as Markdown; the best of a column is bold."""
    names = ["variant", "method"] if table.has_variants else ["method"]
    lines = ["| " + " | ".join([*names, *(_title(column) for column in table.columns)]) + " |"]
    lines.append("|" + "---|" * len(names) + "---:|" * len(table.columns))
    for row, line in enumerate(table.rows):
        cells = [table.cell(row, column) for column in range(len(table.columns))]
        cells = [f"**{text}**" if table.best(column) == row else text for column, text in enumerate(cells)]
        own = [line.variant or "", line.title] if table.has_variants else [line.title]
        lines.append("| " + " | ".join([*(name.replace("|", r"\|") for name in own), *cells]) + " |")
    write_text(path, "\n".join([*lines, "", *(f"{note}\n" for note in table.notes)]))


def write_csv(table: Table, path: Path) -> None:
    """Write the table at full precision; an empty field where there is no number. Means are over `finished` runs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    titles = (column.title.replace(" %", "").replace(" ", "_") for column in table.columns)
    writer.writerow([*(["variant"] if table.has_variants else []), "method", *titles, "runs", "finished"])
    for row in table.rows:
        values = ("" if value is None else repr(value) for value in row.values)
        writer.writerow([*([row.variant] if table.has_variants else []), row.name, *values, row.runs, row.finished])
    write_text(path, text.getvalue())


def _title(column: Column) -> str:
    arrow = {True: " ↑", False: " ↓", None: ""}[column.higher_is_better]
    return column.title + arrow


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values and all(map(math.isfinite, values)) else None


def _references(records: Sequence[Record]) -> str:
    found = {record.variant: record.reference for record in records if record.variant}
    if not found:
        return "."
    if len(set(found.values())) == 1:
        return f" of {next(iter(found.values()))}."
    others = [f"{variant} of {reference}" for variant, reference in found.items() if reference != variant]
    return " of the same variant" + (f"; {', '.join(others)}." if others else ".")


def _notes(records: Sequence[Record]) -> tuple[str, ...]:
    first = records[0]
    seeds = sorted({record.seed for record in records})
    trunks = (f" on {record.backbone}" if record.backbone else "" for record in records)
    networks = dict.fromkeys(
        f"{record.dataset}, {record.architecture}{trunk}" for record, trunk in zip(records, trunks, strict=True)
    )
    notes = [
        f"{'; '.join(networks)}, "
        + (f"seed {seeds[0]} alone." if len(seeds) == 1 else f"means over seeds {', '.join(map(str, seeds))}."),
        _PROTOCOLS[first.protocol],
        "delta_m: mean over tasks of the signed relative change against the single-task networks (P1, equation 5)"
        + _references(records),
    ]
    for record in records:
        variant = f"{record.variant}, " if record.variant else ""
        name = f"{variant}{record.balancer} on {', '.join(record.tasks)} (seed {record.seed})"
        if record.status != "finished":
            why = f": {record.error}" if record.error else "."
            notes.append(f"{name} {record.status}{why}")
        elif record.balancer != SINGLE and record.selection == FALLBACK:
            notes.append(f"{name}: checkpoint chosen by the {FALLBACK}, for want of single-task networks.")
    return tuple(notes)
