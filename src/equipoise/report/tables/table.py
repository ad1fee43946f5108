"""A table of numbers: which of them are bold, and how it is written as text, Markdown, LaTeX, CSV and HTML."""

import csv
import html
import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from equipoise._core.files import write_text
from equipoise.studies.results.statistics import Interval

# How the best (1) and the second best (2) number of a column look. `Table.rank` says which these are.
_MARKDOWN = {1: "**%s**", 2: "*%s*"}
_LATEX = {1: r"\textbf{%s}", 2: r"\underline{%s}"}
_HTML = {1: "<strong>%s</strong>", 2: "<u>%s</u>"}
_TERMINAL = {1: "bold", 2: "underline"}


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Attributes:
        title: The name of the quantity.
        higher_is_better: Which direction is better; `None` if neither is.
        decimals: Number of decimals. By default the largest number of the column gets four digits.
    """

    title: str
    higher_is_better: bool | None = None
    decimals: int | None = None

    @property
    def heading(self) -> str:
        """The title with an arrow in the better direction."""
        return self.title + {True: " ↑", False: " ↓", None: ""}[self.higher_is_better]


@dataclass(frozen=True)
class Row:
    """A row of numbers, most often those of a method.

    Attributes:
        variant: Label of the variant; `None` in a study without variants.
        name: Name of the method.
        runs: Number of its runs in the study.
        finished: Number of its finished runs. The numbers are means over these.
        values: A number for each column, with its interval over seeds; `None` for a gap.
    """

    variant: str | None
    name: str
    runs: int
    finished: int
    values: tuple[Interval | None, ...]

    @property
    def title(self) -> str:
        """The name, with a remark if some runs are not finished."""
        return self.name if self.finished == self.runs else f"{self.name} ({self.finished}/{self.runs} runs)"


def plain_number(value: float | None) -> Interval | None:
    """Return a number without an interval as a cell; `None` if it is missing or not finite."""
    return None if value is None or not math.isfinite(value) else Interval(float(value), math.nan, math.nan, 1)


@dataclass(frozen=True, repr=False)
class Table:
    """A table of numbers.

    It prints as text in a terminal and as HTML in a notebook.

    Attributes:
        columns: The columns.
        rows: The rows.
        notes: Sentences below the table.
        row_kind: What a row stands for, such as a method; the heading of the names.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    row_kind: str = "method"

    @property
    def has_variants(self) -> bool:
        """Whether rows belong to variants."""
        return any(row.variant for row in self.rows)

    def starts_variant(self, row: int) -> bool:
        """Return whether a row is the first of its variant."""
        return self.has_variants and (row == 0 or self.rows[row].variant != self.rows[row - 1].variant)

    def rank(self, row: int, column: int) -> int | None:
        """Return the rank of a number in its column: 1 for the best, which is bold, 2 for the second best.

        Returns:
            `None` if no direction is better, or if the column has a single number. Equal numbers share a rank.
        """
        higher = self.columns[column].higher_is_better
        value = self.rows[row].values[column]
        found = [other.mean for line in self.rows if (other := line.values[column]) is not None]
        if higher is None or value is None or len(found) < 2:
            return None
        return 1 + sum(other > value.mean if higher else other < value.mean for other in found)

    def number(self, row: int, column: int) -> str:
        """Return the mean of a cell as text; a dash for a gap."""
        value = self.rows[row].values[column]
        return "–" if value is None else self._text(value.mean, column)

    def interval(self, row: int, column: int) -> str:
        """Return the interval of a cell in brackets; an empty text if there is none."""
        value = self.rows[row].values[column]
        if value is None or not value.known:
            return ""
        return f"[{self._text(value.low, column)}, {self._text(value.high, column)}]"

    def cell(self, row: int, column: int) -> str:
        """Return the mean of a cell with its interval, if there is one."""
        return f"{self.number(row, column)} {self.interval(row, column)}".rstrip()

    def write(self, path: Path) -> None:
        """Write the table in the format that the ending of the path names.

        Args:
            path: A file that ends in `.md`, `.tex` or `.csv`.
        """
        write_text(path, _FORMATS[path.suffix](self))

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), width=1000, color_system=None)
        with console.capture() as captured:
            console.print(terminal_table(self))
        lines = [line.rstrip() for line in captured.get().splitlines()]
        return "\n".join([*lines, *(["", *self.notes] if self.notes else [])])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(self)

    def _text(self, number: float, column: int) -> str:
        decimals = self.columns[column].decimals
        if decimals is None:
            largest = max(abs(value.mean) for row in self.rows if (value := row.values[column]) is not None)
            decimals = max(0, 4 - len(str(int(largest)))) if largest >= 1 else 4
        # Adding zero turns -0.0 into 0.0.
        return f"{round(number, decimals) + 0.0:.{decimals}f}"


def terminal_table(table: Table, intervals: bool = False) -> RichTable:
    """Return the table for a terminal, with the best of a column bold and the second best underlined.

    Args:
        table: The table.
        intervals: Whether intervals follow the means. They need room.
    """
    shown = RichTable(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1) if intervals else 0)
    shown.add_column(table.row_kind)
    for column in table.columns:
        # Two lines of title, so that five tasks fit into 80 columns.
        shown.add_column(column.heading.replace(" ", "\n", 1), justify="right", no_wrap=True)
    write = table.cell if intervals else table.number
    for row, line in enumerate(table.rows):
        cells = [
            Text(write(row, column), style=_TERMINAL.get(table.rank(row, column) or 0, ""))
            for column in range(len(table.columns))
        ]
        if table.starts_variant(row):
            shown.add_row(Text(line.variant or "", style="italic"))
        shown.add_row(Text(f"  {line.title}" if table.has_variants else line.title), *cells)
    return shown


def markdown(table: Table) -> str:
    """Return the table in Markdown, with the best of a column bold and the second best italic."""
    names = ["variant", table.row_kind] if table.has_variants else [table.row_kind]
    lines = ["| " + " | ".join([*names, *(column.heading for column in table.columns)]) + " |"]
    lines.append("|" + "---|" * len(names) + "---:|" * len(table.columns))
    for row, line in enumerate(table.rows):
        own = [line.variant or "", line.title] if table.has_variants else [line.title]
        cells = _marked(table, row, _MARKDOWN)
        lines.append("| " + " | ".join([*(name.replace("|", r"\|") for name in own), *cells]) + " |")
    return "\n".join([*lines, "", *(f"{note}\n" for note in table.notes)])


def latex(table: Table) -> str:
    r"""Return the table in LaTeX for the package booktabs.

    The best of a column is bold, the second best underlined. The text is an environment `tabular`, for `\input` inside
    `table`; the notes are comments above it.
    """
    lines = [f"% {note}" for note in table.notes]
    lines += [rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}", r"\toprule"]
    arrows = {True: r" $\uparrow$", False: r" $\downarrow$", None: ""}
    titles = (_latex_text(column.title) + arrows[column.higher_is_better] for column in table.columns)
    lines += [" & ".join([table.row_kind, *titles]) + r" \\", r"\midrule"]
    for row, line in enumerate(table.rows):
        if table.starts_variant(row):
            lines += [*([r"\midrule"] if row else []), _latex_text(line.variant or "") + r" \\"]
        name = (r"\quad " if table.has_variants else "") + _latex_text(line.title)
        lines.append(" & ".join([name, *_marked(table, row, _LATEX, _latex_text)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def html_table(table: Table) -> str:
    """Return the table as an HTML fragment for notebooks."""
    headings = [*(["variant"] if table.has_variants else []), table.row_kind, *(c.heading for c in table.columns)]
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in headings)
    lines = []
    for row, line in enumerate(table.rows):
        own = [line.variant or "", line.title] if table.has_variants else [line.title]
        names = "".join(f"<th>{html.escape(name)}</th>" for name in own)
        cells = "".join(f"<td>{cell}</td>" for cell in _marked(table, row, _HTML, html.escape))
        lines.append(f"<tr>{names}{cells}</tr>")
    notes = "".join(f"<p><small>{html.escape(note)}</small></p>" for note in table.notes)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>{notes}"


def csv_text(table: Table) -> str:
    """Return the table as CSV at full precision, with an empty field for a gap.

    Means are over `finished` runs. If a column has intervals over seeds, columns with `_low` and `_high` hold their
    ends.
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
    writer.writerow([*(["variant"] if table.has_variants else []), table.row_kind, *titles, "runs", "finished"])
    for row in table.rows:
        fields: list[str] = []
        for value, has in zip(row.values, spread, strict=True):
            fields.append("" if value is None else repr(value.mean))
            if has:
                fields += [repr(value.low), repr(value.high)] if value is not None and value.known else ["", ""]
        writer.writerow([*([row.variant] if table.has_variants else []), row.name, *fields, row.runs, row.finished])
    return text.getvalue()


_FORMATS = {".md": markdown, ".tex": latex, ".csv": csv_text}

_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"} | {
    character: rf"\{character}" for character in "&%$#_{}"
}


def _latex_text(text: str) -> str:
    return re.sub("|".join(map(re.escape, _SPECIAL)), lambda found: _SPECIAL[found.group()], text)


def _marked(table: Table, row: int, marks: dict[int, str], escape: Callable[[str], str] = str) -> list[str]:
    """Return the cells of a row with the best and the second best number marked."""
    return [
        marks.get(table.rank(row, column) or 0, "%s") % escape(table.cell(row, column))
        for column in range(len(table.columns))
    ]
