"""Figures of a study: one class each in a registry, drawn from the directories of its runs."""

from equipoise.report.figures.base import DrawnFigure, StudyFigure, StudyRuns, draw_figures, study_figures
from equipoise.report.figures.folder import is_complete, write_figure, write_folder

__all__ = [
    "DrawnFigure",
    "StudyFigure",
    "StudyRuns",
    "draw_figures",
    "is_complete",
    "study_figures",
    "write_figure",
    "write_folder",
]
