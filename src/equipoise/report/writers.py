"""Tables on a terminal and in files."""

import csv
import io
import re
from pathlib import Path

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from equipoise.report.table import Table
from equipoise.training.files import write_text


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
