"""Base class and registry of the figures of a study, and the runs that they are drawn from."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import polars
from matplotlib.figure import Figure

from equipoise._core.registry import Registry
from equipoise.config import SINGLE, ConfigError, RunConfig, load
from equipoise.report.predictions import Predictions
from equipoise.studies import RunRow
from equipoise.studies.results import frames
from equipoise.studies.results.groups import by_variant, multi_task, task_order
from equipoise.training.selection import main_metrics


@dataclass(frozen=True)
class DrawnFigure:
    """A figure of a study with its texts.

    Attributes:
        name: The name of its file, of letters, digits, `-` and `_`; unique in a study.
        title: A heading of a few words.
        caption: What the figure shows and how to read it, in sentences.
        figure: The drawing.
    """

    name: str
    title: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class StudyRuns:
    """The runs that a figure is drawn from: those of a study, or of one of its variants.

    Attributes:
        rows: The runs.
        root: The directory that all studies share.
        tasks: All tasks of the study in the order of their colours.
        predictions: Predictions for some test images; `None` if they are not to be drawn.
        suffix: The text that a variant appends to the names of figures, such as `-small`.
        variant: The label of the variant; `None` for a whole study, or one without variants.
    """

    rows: Sequence[RunRow]
    root: Path
    tasks: Sequence[str]
    predictions: Predictions | None = None
    suffix: str = ""
    variant: str | None = None
    _frames: dict[object, polars.DataFrame] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def directions(self) -> dict[str, bool]:
        """The main metric of every task as `task.metric`, and whether a higher value is better.

        Only tasks with a run that has begun are included.
        """
        found: dict[str, bool] = {}
        for tasks, of in {(row.variant, row.tasks): row for row in reversed(self.rows)}.items():
            try:
                config = load(frames.directory_of(of, self.root) / "config.yaml", RunConfig)
                found |= main_metrics(config.data.tasks(tasks[1]))
            except (ConfigError, ValueError):
                # The run has not begun, or an earlier version with another configuration made it.
                continue
        return dict(sorted(found.items(), key=lambda entry: self.tasks.index(entry[0].split(".")[0])))

    @property
    def title_suffix(self) -> str:
        """The text that a variant appends to the titles of figures."""
        return "" if self.variant is None else f" ({self.variant})"

    @cached_property
    def variants(self) -> list["StudyRuns"]:
        """The runs of every variant; the study itself if it has no variants."""
        groups = by_variant(self.rows)
        names = {label: re.sub(r"[^A-Za-z0-9]+", "-", label or "").strip("-") for label in groups}
        parts = []
        for number, (label, rows) in enumerate(groups.items(), 1):
            name = names[label]
            # Two labels may differ only in characters that a file name cannot have.
            unique = name and list(names.values()).count(name) == 1
            suffix = "" if label is None else f"-{name}" if unique else f"-{name}-{number}"
            parts.append(StudyRuns(rows, self.root, self.tasks, None, suffix, label))
        return parts

    @cached_property
    def multi_task(self) -> "StudyRuns":
        """The runs of multi-task networks alone."""
        return replace(self, rows=multi_task(self.rows))

    def gradients(self, kind: Callable[[polars.DataFrame], polars.DataFrame]) -> polars.DataFrame:
        """Return what probes recorded in the first seed of every method.

        Args:
            kind: `equipoise.diagnosis.by_task`, `by_pair` or `by_step`.
        """
        return self._frame(kind, lambda: first_seed(frames.gradients(self.rows, self.root, kind)))

    def loss_weights(self) -> polars.DataFrame:
        """Return the mean loss weights of every epoch, of all seeds."""
        return self._frame("weights", lambda: frames.loss_weights(self.rows, self.root))

    def feature_distances(self) -> polars.DataFrame:
        """Return distances of features from those of single-task networks, in the first seed of every method."""
        return self._frame("distances", lambda: first_seed(frames.feature_distances(self.rows, self.root)))

    def _frame(self, key: object, read: Callable[[], polars.DataFrame]) -> polars.DataFrame:
        # Several figures are drawn from the same files.
        if key not in self._frames:
            self._frames[key] = read()
        return self._frames[key]


class StudyFigure(ABC):
    """A figure that is drawn from the runs of a study.

    A class under this base, registered with `equipoise.register`, appears in the folder `figures` of every study and
    on its page.

    Example:
        A figure of one's own, in a module that a recipe lists under `import`:

            @equipoise.register("seconds")
            class Seconds(lab.StudyFigure):
                title = "Time of every run"
                caption = "Seconds of training and evaluation, in the order of the table."

                def draw(self, runs):
                    figure = Figure()
                    figure.subplots().plot([row.seconds for row in runs.rows])
                    return figure
    """

    title: ClassVar[str]
    """A heading of a few words."""
    caption: ClassVar[str]
    """Sentences on what the figure shows and how to read it."""
    order: ClassVar[int] = 1000
    """The place among the figures of a page; figures with equal numbers go by name."""

    @abstractmethod
    def draw(self, runs: StudyRuns) -> Figure | None:
        """Draw the figure.

        Args:
            runs: One of `parts`.

        Returns:
            `None` if the runs do not allow it: they are missing, have failed, or have not recorded what it needs.
        """

    def parts(self, study: StudyRuns) -> Sequence[StudyRuns]:
        """Return the runs of each figure of this kind; by default every variant has one."""
        return study.variants

    def remark(self, runs: StudyRuns) -> str:
        """Return sentences for the caption that depend on the runs; none by default."""
        return ""

    def draw_all(self, name: str, study: StudyRuns) -> Iterator[DrawnFigure]:
        """Draw every figure of this kind that the runs of a study allow.

        Args:
            name: The name of the kind in the registry.
            study: The runs of the whole study.
        """
        for runs in self.parts(study):
            figure = self.draw(runs)
            if figure is not None:
                caption = f"{self.caption} {self.remark(runs)}".strip()
                yield DrawnFigure(f"{name}{runs.suffix}", f"{self.title}{runs.title_suffix}", caption, figure)


study_figures: Registry[StudyFigure] = Registry(
    "figure", StudyFigure, package="equipoise.report.figures", group="equipoise.figures"
)


def draw_figures(rows: Sequence[RunRow], root: Path, predictions: Predictions | None = None) -> Iterator[DrawnFigure]:
    """Draw every figure of the registry that the runs of a study allow, one by one as they are asked for.

    Unfinished runs are drawn as far as they have logged.

    Args:
        rows: The runs of a study.
        root: The directory that all studies share.
        predictions: Predictions to draw as well; see `equipoise.report.predictions`.
    """
    study = StudyRuns(rows, root, task_order(rows), predictions)
    for name, kind in sorted(study_figures.items(), key=lambda entry: (entry[1].order, entry[0])):
        yield from kind().draw_all(name, study)


def first_seed(frame: polars.DataFrame) -> polars.DataFrame:
    """Return the rows of the first seed of every method: a curve over steps shows one training."""
    return frame.filter(polars.col("seed") == polars.col("seed").min().over("method"))


def seed_remark(runs: StudyRuns, frame: polars.DataFrame) -> str:
    """Return a caption's sentences on which seeds the rows of a frame come from, and which runs are not finished."""
    seeds = sorted(frame["seed"].unique())
    if len(seeds) == 1:
        return f"Seed {seeds[0]}.{unfinished_remark(runs, frame)}"
    return f"The first seed of each method ({', '.join(map(str, seeds))}).{unfinished_remark(runs, frame)}"


def unfinished_remark(runs: StudyRuns, frame: polars.DataFrame) -> str:
    """Return a sentence that names methods whose rows come from unfinished runs; an empty text if there are none."""
    drawn = set(frame.select("method", "seed").unique().iter_rows())
    unfinished = dict.fromkeys(
        row.balancer for row in multi_task(runs.rows) if row.status != "finished" and (row.balancer, row.seed) in drawn
    )
    return f" Unfinished runs, drawn as far as they have logged: {', '.join(unfinished)}." if unfinished else ""


def without_single(frame: polars.DataFrame) -> polars.DataFrame:
    """Return the rows of multi-task networks."""
    return frame.filter(polars.col("method") != SINGLE)
