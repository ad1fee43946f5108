"""Results for people: tables and figures; the page is to come."""

from equipoise.report.figures import relative_change, write_figure
from equipoise.report.table import Table, comparison, on_console, write_csv, write_markdown

__all__ = ["Table", "comparison", "on_console", "relative_change", "write_csv", "write_figure", "write_markdown"]
