"""What a table of numbers is, before it is written anywhere."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from equipoise._core.files import write_text
from equipoise.studies.results.statistics import Interval


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

    @property
    def heading(self) -> str:
        """The title with an arrow to where it is better."""
        return self.title + {True: " ↑", False: " ↓", None: ""}[self.higher_is_better]


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        variant: The variant of the study that it belongs to, if the study has variants.
        name: Of the method.
        runs: How many runs it has in the study.
        finished: How many of them are finished; the numbers are means over these.
        values: The number of each column, with its interval over seeds, or none.
    """

    variant: str | None
    name: str
    runs: int
    finished: int
    values: tuple[Interval | None, ...]

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
        names: What the names of the rows are.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    names: str = "method"

    @property
    def has_variants(self) -> bool:
        """Whether rows belong to variants."""
        return any(row.variant for row in self.rows)

    def begins(self, row: int) -> bool:
        """Whether a row is the first of its variant."""
        return self.has_variants and (row == 0 or self.rows[row].variant != self.rows[row - 1].variant)

    def number(self, row: int, column: int) -> str:
        """The mean of a cell as text, or a dash."""
        value = self.rows[row].values[column]
        return "–" if value is None else self._text(value.mean, column)

    def cell(self, row: int, column: int) -> str:
        """The mean of a cell with its interval, as far as there are such."""
        return f"{self.number(row, column)} {self.interval(row, column)}".rstrip()

    def interval(self, row: int, column: int) -> str:
        """The interval of a cell in brackets; empty where there is none."""
        value = self.rows[row].values[column]
        if value is None or not value.known:
            return ""
        return f"[{self._text(value.low, column)}, {self._text(value.high, column)}]"

    def place(self, row: int, column: int) -> int | None:
        """1 for the best number of a column, 2 for the second best, ...; none where no direction is better.

        A column with a single number has no best. Equal numbers share a place.
        """
        higher = self.columns[column].higher_is_better
        value = self.rows[row].values[column]
        found = [other.mean for line in self.rows if (other := line.values[column]) is not None]
        if higher is None or value is None or len(found) < 2:
            return None
        return 1 + sum(other > value.mean if higher else other < value.mean for other in found)

    def _text(self, number: float, column: int) -> str:
        decimals = self.columns[column].decimals
        if decimals is None:
            largest = max(abs(value.mean) for row in self.rows if (value := row.values[column]) is not None)
            decimals = max(0, 4 - len(str(int(largest)))) if largest >= 1 else 4
        # Adding zero turns -0.0 into 0.0.
        return f"{round(number, decimals) + 0.0:.{decimals}f}"


def on_console(table: Table, intervals: bool = False) -> RichTable:
    """The table for a terminal; the best of a column is bold, the second best underlined.

    Args:
        table: What to show.
        intervals: Whether means are followed by their intervals, which take room.
    """
    shown = RichTable(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1) if intervals else 0)
    shown.add_column(table.names)
    for column in table.columns:
        # Two lines of title, so that five tasks fit into 80 columns.
        shown.add_column(column.heading.replace(" ", "\n", 1), justify="right", no_wrap=True)
    styles = {1: "bold", 2: "underline"}
    for row, line in enumerate(table.rows):
        write = table.cell if intervals else table.number
        cells = [
            Text(write(row, column), style=styles.get(table.place(row, column) or 0, ""))
            for column in range(len(table.columns))
        ]
        if table.begins(row):
            shown.add_row(Text(line.variant or "", style="italic"))
        shown.add_row(Text(f"  {line.title}" if table.has_variants else line.title), *cells)
    return shown


def write_markdown(table: Table, path: Path) -> None:
    """Write the table as Markdown; the best of a column is bold, the second best italic."""
    names = ["variant", table.names] if table.has_variants else [table.names]
    lines = ["| " + " | ".join([*names, *(column.heading for column in table.columns)]) + " |"]
    lines.append("|" + "---|" * len(names) + "---:|" * len(table.columns))
    marks = {1: "**", 2: "*"}
    for row, line in enumerate(table.rows):
        cells = []
        for column in range(len(table.columns)):
            mark = marks.get(table.place(row, column) or 0, "")
            cells.append(f"{mark}{table.cell(row, column)}{mark}")
        own = [line.variant or "", line.title] if table.has_variants else [line.title]
        lines.append("| " + " | ".join([*(name.replace("|", r"\|") for name in own), *cells]) + " |")
    write_text(path, "\n".join([*lines, "", *(f"{note}\n" for note in table.notes)]))


def write_latex(table: Table, path: Path) -> None:
    r"""Write the table for LaTeX with the package booktabs; the best of a column is bold, the second best underlined.

    The file is an environment `tabular`, for `\input` inside `table`; the notes are comments above it.
    """
    lines = [f"% {note}" for note in table.notes]
    lines += [rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}", r"\toprule"]
    arrows = {True: r" $\uparrow$", False: r" $\downarrow$", None: ""}
    titles = (_latex(column.title) + arrows[column.higher_is_better] for column in table.columns)
    lines += [" & ".join([table.names, *titles]) + r" \\", r"\midrule"]
    marks = {1: r"\textbf{%s}", 2: r"\underline{%s}"}
    for row, line in enumerate(table.rows):
        if table.begins(row):
            lines += [*([r"\midrule"] if row else []), _latex(line.variant or "") + r" \\"]
        cells = [
            marks.get(table.place(row, column) or 0, "%s") % _latex(table.cell(row, column))
            for column in range(len(table.columns))
        ]
        name = (r"\quad " if table.has_variants else "") + _latex(line.title)
        lines.append(" & ".join([name, *cells]) + r" \\")
    write_text(path, "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""]))


def write_csv(table: Table, path: Path) -> None:
    """Write the table at full precision; an empty field where there is no number.

    Means are over `finished` runs. Columns with `_low` and `_high` have the ends of the intervals over seeds, where a
    column has any.
    """
    names = [column.title.replace(" %", "").replace(" ", "_") for column in table.columns]
    spread = [
        any(value is not None and value.known for value in (row.values[column] for row in table.rows))
        for column in range(len(names))
    ]
    titles = []
    for name, has in zip(names, spread, strict=True):
        titles += [name, f"{name}_low", f"{name}_high"] if has else [name]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(["variant"] if table.has_variants else []), table.names, *titles, "runs", "finished"])
    for row in table.rows:
        fields: list[str] = []
        for value, has in zip(row.values, spread, strict=True):
            fields.append("" if value is None else repr(value.mean))
            if has:
                fields += [repr(value.low), repr(value.high)] if value is not None and value.known else ["", ""]
        writer.writerow([*([row.variant] if table.has_variants else []), row.name, *fields, row.runs, row.finished])
    write_text(path, text.getvalue())


_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"} | {
    character: rf"\{character}" for character in "&%$#_{}"
}


def _latex(text: str) -> str:
    return re.sub("|".join(map(re.escape, _SPECIAL)), lambda found: _SPECIAL[found.group()], text)
