"""The verdicts of the page: what the gradients say about the balance of every method."""

from dataclasses import dataclass

from equipoise.report.page.pictures import Plate, plate
from equipoise.report.verdict_figures import study_verdict_figure
from equipoise.report.verdicts import LEGEND, Told, tell
from equipoise.studies import Study
from equipoise.studies.diagnose import MethodVerdict, StudyVerdict, diagnose_study


@dataclass(frozen=True)
class Opinion:
    """The verdict on a method.

    Attributes:
        variant: Of the study, if it has variants.
        method: Its label.
        text: What its runs have in common.
        seed: Of the run that is told in full: see `StudyVerdict.telling`.
        told: The verdict on that run; none where it has recorded nothing.
        missing: Why not.
    """

    variant: str | None
    method: str
    text: str
    seed: int
    told: Told | None
    missing: str | None


@dataclass(frozen=True)
class Verdicts:
    """The verdicts on a study.

    Attributes:
        opinions: One a method.
        legend: Explains their tables.
        plate: Who owns the update with every method; none where no run has recorded anything.
    """

    opinions: list[Opinion]
    legend: str
    plate: Plate | None


def verdicts(study: Study) -> Verdicts:
    """The verdicts on the multi-task networks of a study, unfinished ones too."""
    found = diagnose_study(study)
    drawn = None
    if any(method.shares for method in found.methods):
        drawn = plate(
            "figure-verdict",
            "Who owns the update",
            "The share of the shared network's update that each task owns with every method, over the judged steps, "
            "mean over seeds. Dashed lines are equal shares.",
            study_verdict_figure(found),
        )
    return Verdicts([_opinion(found, method) for method in found.methods], LEGEND, drawn)


def _opinion(found: StudyVerdict, method: MethodVerdict) -> Opinion:
    run = found.telling(method)
    told = None if run.verdict is None else tell(run.verdict)
    return Opinion(method.variant, method.balancer, method.text, run.seed, told, run.missing)
