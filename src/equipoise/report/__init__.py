"""Results for people: tables, figures, and the page (`equipoise.report.html`)."""

from equipoise.report.figures.illustration import changes, radar, relative_change, seeds, write_figure
from equipoise.report.tables.comparison import certainty, comparison
from equipoise.report.tables.published import beside_published
from equipoise.report.tables.table import Table, on_console, write_csv, write_latex, write_markdown

__all__ = [
    "Table",
    "beside_published",
    "certainty",
    "changes",
    "comparison",
    "on_console",
    "radar",
    "relative_change",
    "seeds",
    "write_csv",
    "write_figure",
    "write_latex",
    "write_markdown",
]
