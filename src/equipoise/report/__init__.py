"""Results for people: tables, figures, and the page (`equipoise.report.page`)."""

from equipoise.report.comparison import certainty, comparison
from equipoise.report.figures import changes, radar, relative_change, seeds, write_figure
from equipoise.report.published import beside_published
from equipoise.report.table import Table
from equipoise.report.writers import on_console, write_csv, write_latex, write_markdown

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
