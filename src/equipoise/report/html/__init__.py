"""The page of a study: one HTML file that holds all it shows and asks nothing of any network."""

from equipoise.report.html.render import PAGE, write_page

__all__ = ["PAGE", "write_page"]
