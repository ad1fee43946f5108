"""The page of a study: one HTML file that holds all it shows and makes no network request."""

from equipoise.report.html.render import PAGE, write_page

__all__ = ["PAGE", "write_page"]
