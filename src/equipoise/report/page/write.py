"""Writing the page of a study."""

from collections.abc import Callable
from pathlib import Path

from equipoise.report.page.content import gather
from equipoise.report.page.render import render
from equipoise.studies import open_study
from equipoise.training.files import write_text

PAGE = "report.html"
"""In the directory of a study."""


def write_page(
    directory: Path, output: Path | None = None, progress: Callable[[str], None] = lambda doing: None
) -> Path:
    """Write the page of a study as it is now, whether it is finished or not.

    Args:
        directory: Of the study, such as `studies/quickstart`.
        output: The file; `report.html` in the study's directory if left out.
        progress: Told what is being done.

    Returns:
        Where the page is.

    Raises:
        ConfigError: It is no directory of a study.
    """
    page = directory / PAGE if output is None else output
    content = gather(open_study(directory), progress)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_text(page, render(content))
    return page
