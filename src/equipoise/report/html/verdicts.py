"""The verdicts on the page."""

from dataclasses import dataclass

from equipoise.report.figures.verdicts import study_verdict_figure
from equipoise.report.html.pictures import EmbeddedFigure, embed_figure
from equipoise.report.verdict_text import LEGEND, VerdictText, verdict_text
from equipoise.studies import Study
from equipoise.studies.results.diagnose import MethodVerdict, StudyVerdict, diagnose_study


@dataclass(frozen=True)
class PageVerdict:
    """The verdict on a method.

    Attributes:
        variant: Label of the variant; `None` in a study without variants.
        method: Label of the method.
        summary: What its runs have in common.
        seed: The seed of the run that is shown in full, see `StudyVerdict.representative`.
        text: The verdict on that run; `None` if it has recorded nothing.
        missing: Why there is no verdict.
    """

    variant: str | None
    method: str
    summary: str
    seed: int
    text: VerdictText | None
    missing: str | None


@dataclass(frozen=True)
class PageVerdicts:
    """The verdicts on a study.

    Attributes:
        methods: The verdict on each method.
        legend: Explains their tables.
        figure: The share of each task in the update with every method; `None` if no run has recorded anything.
    """

    methods: list[PageVerdict]
    legend: str
    figure: EmbeddedFigure | None


def verdicts(study: Study) -> PageVerdicts:
    """Return the verdicts on the multi-task networks of a study, unfinished ones too."""
    found = diagnose_study(study)
    figure = None
    if any(method.shares for method in found.methods):
        figure = embed_figure(
            "figure-verdict",
            "Who owns the update",
            "The share of each task in the update of the shared network with every method, over the analysed steps, "
            "mean over seeds. Dashed lines are equal shares.",
            study_verdict_figure(found),
        )
    return PageVerdicts([_verdict(found, method) for method in found.methods], LEGEND, figure)


def _verdict(found: StudyVerdict, method: MethodVerdict) -> PageVerdict:
    run = found.representative(method)
    text = None if run.verdict is None else verdict_text(run.verdict)
    return PageVerdict(method.variant, method.balancer, method.text, run.seed, text, run.missing)
