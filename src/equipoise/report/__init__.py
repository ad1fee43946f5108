"""Results for people: tables, figures, texts, and the page (`equipoise.report.html`)."""

from equipoise.report.changes import changes
from equipoise.report.figures.folder import write_figure
from equipoise.report.figures.results import relative_change
from equipoise.report.tables.certainty import certainty
from equipoise.report.tables.comparison import comparison
from equipoise.report.tables.published import beside_published
from equipoise.report.tables.table import Table, terminal_table

__all__ = [
    "Table",
    "beside_published",
    "certainty",
    "changes",
    "comparison",
    "relative_change",
    "terminal_table",
    "write_figure",
]
