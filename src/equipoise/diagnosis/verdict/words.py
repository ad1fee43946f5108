"""The sentences of a verdict, in words that need no paper to be understood."""

from collections.abc import Mapping, Sequence

from equipoise.diagnosis.verdict.schema import Cause, Finding, Kind

_HEADLINES: Mapping[Cause, str] = {
    "weights": "weights (those that the method gives)",
    "method": "the method itself (the plain sum of the gradients would not do this)",
    "norms": "norms (gradients of very different lengths)",
    "conflict": "conflict (gradients that point against each other)",
    "norms and conflict": "norms and conflict (gradients of different lengths that also point against each other)",
    "duplicates": "duplicates (tasks that are copies of each other)",
    "noise": "noise (a task with a long gradient that leads nowhere)",
}
_WITHOUT_CAUSE: Mapping[Cause, str] = {
    "weights": "The cause is weights: the method gives it a weight of {weight:.3g} (median of the others: "
    "{others_weight:.3g}); with uniform weights it would get",
    "method": "The cause is the method itself: in the plain sum of the gradients it would get",
    "norms": "The cause is norms: with gradients of equal length it would get",
    "conflict": "The cause is conflict: other tasks pull the opposite way; if none did, it would get",
    "duplicates": "The cause is duplicates: if copies counted once, it would get",
    "noise": "The cause is noise: without the noisy task it would get",
}
_SUMMARY: tuple[tuple[Kind, str, str], ...] = (
    ("starved", "is starved", "are starved"),
    ("dominating", "dominates", "dominate"),
    ("conflict", "conflicts", "are in conflict"),
    ("duplicates", "is a copy", "are copies of each other"),
    ("noise", "is noisy", "are noisy"),
)


def finding_text(finding: Finding, longest: str | None, from_the_start: bool) -> str:
    """Return a finding in words.

    Args:
        finding: The finding, without its text.
        longest: For a starved task, the task with the longest contribution.
        from_the_start: Whether it has been so since the first recorded step.
    """
    numbers, names = finding.numbers, quoted(finding.tasks)
    since = "" if finding.since is None else ", from the start" if from_the_start else f", since step {finding.since}"
    share, fair = (percent(numbers[name]) if name in numbers else "" for name in ("share", "fair"))
    match finding.kind:
        case "starved":
            text = f"{names} gets {share} of the update{since}; its fair share is {fair}."
            if numbers.get("shorter", 0) > 1 and finding.cause not in ("conflict", "method"):
                text += (
                    f" Its contribution (gradient times weight) is {factor(numbers['shorter'])} times shorter than "
                    f"that of `{longest}`; its mean cosine with the other tasks is {numbers['cosine']:.2f}."
                )
            return f"{text} {_cause(finding)}"
        case "dominating":
            return f"{names} takes {share} of the update{since}; its fair share is {fair}. {_cause(finding)}"
        case "conflict":
            return (
                f"{names} pull against each other{since}: mean cosine {numbers['cosine']:.2f}. {_length_kept(numbers)}"
                "Static weights cannot end a conflict; they only choose which task wins."
            )
        case "duplicates":
            return (
                f"{names} pull the same way{since}: mean cosine {numbers['cosine']:.2f}. For the shared network they "
                f"are nearly one task that counts {len(finding.tasks)} times. Together they get {share} of the update; "
                f"the fair share of one task is {fair}. Divide their weights by {len(finding.tasks)}, or leave out all "
                "but one. Methods that equalise norms do not see this."
            )
        case "noise":
            return (
                f"{names} takes {share} of the update{since} and hardly learns from it: its loss has "
                f"{_fallen(numbers['fall'])} (others: {_fallen(numbers['others_fall'])}), and its gradient points "
                f"elsewhere each time (cosine with the one recorded before: {numbers['coherence']:.2f}). "
                f"{_cause(finding)}"
            )


def headline(cause: Cause, findings: Sequence[Finding]) -> str:
    """Return the verdict on unbalanced tasks in one line.

    Args:
        cause: The main cause.
        findings: At least one finding.
    """
    parts = []
    for kind, one, several in _SUMMARY:
        tasks = tuple(dict.fromkeys(task for finding in findings if finding.kind == kind for task in finding.tasks))
        if tasks:
            parts.append(f"{quoted(tasks)} {one if len(tasks) == 1 else several}")
    sure = cause != "noise" or any(finding.kind == "noise" for finding in findings)
    return f"Out of balance: {', '.join(parts)}. {'Main cause' if sure else 'Probable cause'}: {_HEADLINES[cause]}."


def balanced(shares: Sequence[float]) -> str:
    """Return the verdict on balanced tasks.

    Args:
        shares: The share of every task.
    """
    return f"Balanced: every task gets between {percent(min(shares))} and {percent(max(shares))} of the update."


def undecided(certainty: float) -> str:
    """Return the verdict if neither a finding nor balance is certain.

    Args:
        certainty: The certainty that the tasks are balanced.
    """
    return (
        "Undecided: no imbalance is certain, and the numbers vary too much between steps to call the tasks balanced "
        f"({sureness(certainty)} sure). Record more steps to decide."
    )


def unmeasured(tasks: Sequence[str]) -> str:
    """Return the verdict if there is no finding, but tasks have too few gradients to measure their share."""
    return f"Undecided: no imbalance is certain, but too few recorded steps have a gradient of {quoted(tasks)}."


def too_few(count: int, least: int) -> str:
    """Return the summary if there are too few records for a verdict.

    Args:
        count: The number of usable recorded steps.
        least: The number needed.
    """
    return (
        f"No verdict: {count} usable recorded steps are too few, {least} are needed. Train longer, or record more "
        "often: `training.probe.every` in a recipe, `Probe(every=...)` in a loop."
    )


def few(analysed: int) -> str:
    """Return the note on a verdict that rests on few steps."""
    return (
        f"Only {analysed} recorded steps were analysed. Neighbouring steps resemble each other, so the certainties may "
        "be too high."
    )


def may_be_noise(task: str) -> str:
    """Return the unconfirmed finding that a task is noisy."""
    return f"`{task}` may be noisy: it seems to get more than its share and hardly learns."


def may_be_copies(first: str, second: str, cosine: float) -> str:
    """Return the unconfirmed finding that two tasks are duplicates."""
    return f"`{first}` and `{second}` may be copies of each other: their mean cosine is {cosine:.2f}, but it varies."


def may_conflict(first: str, second: str, cosine: float) -> str:
    """Return the unconfirmed finding that two tasks conflict."""
    return f"`{first}` and `{second}` may be in conflict: their mean cosine is {cosine:.2f}, but it varies."


def may_starve(task: str, share: float, fair: float) -> str:
    """Return the unconfirmed finding that a task is starved."""
    return f"`{task}` may be starved: it gets {percent(share)} of the update (fair: {percent(fair)}), but this varies."


def may_dominate(task: str, share: float, fair: float) -> str:
    """Return the unconfirmed finding that a task dominates."""
    return f"`{task}` may dominate: it gets {percent(share)} of the update (fair: {percent(fair)}), but this varies."


def no_gradient_since(task: str, step: int) -> str:
    """Return the unconfirmed finding that a task has lost its gradient."""
    return f"`{task}` has had no gradient since step {step}."


def quoted(tasks: Sequence[str]) -> str:
    """Return a list of names for a sentence.

    Example:
        >>> quoted(("a", "b", "c"))
        '`a`, `b` and `c`'
    """
    names = [f"`{task}`" for task in tasks]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def percent(part: float) -> str:
    """Return a part of the whole in percent, with the digits that matter.

    Example:
        >>> percent(0.4213), percent(0.0123), percent(0.00002)
        ('42 %', '1.2 %', '0.002 %')
    """
    return f"{100 * part:.2g} %" if abs(part) < 0.1 else f"{100 * part:.0f} %"


def sureness(certainty: float) -> str:
    """Return a certainty in percent, never 100 %.

    Example:
        >>> sureness(0.97), sureness(0.99999)
        ('97 %', 'over 99 %')
    """
    return "over 99 %" if certainty > 0.99 else f"{100 * certainty:.0f} %"


def factor(ratio: float) -> str:
    """Return a ratio with the digits that matter.

    Example:
        >>> factor(2.345), factor(48.7)
        ('2.3', '49')
    """
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"


def _cause(finding: Finding) -> str:
    if finding.cause not in _WITHOUT_CAUSE:
        return (
            "The cause is norms and conflict together: neither equal lengths nor orthogonal gradients would be enough."
        )
    if finding.cause == "noise" and finding.kind == "noise":
        return "Check its labels, or give it less weight: balancing cannot make noise useful."
    if finding.cause == "noise" and finding.kind == "dominating":
        return "The cause is noise: its gradient is long and leads nowhere."
    return f"{_WITHOUT_CAUSE[finding.cause].format_map(finding.numbers)} {percent(finding.numbers['without_cause'])}."


def _length_kept(numbers: Mapping[str, float]) -> str:
    # Missing if all weights of all steps are zero.
    if "survives" not in numbers:
        return ""
    return (
        f"The update keeps {percent(numbers['survives'])} of the total length of all contributions; it would keep "
        f"{percent(numbers['orthogonal'])} if gradients were orthogonal. "
    )


def _fallen(fall: float) -> str:
    return f"fallen by {percent(fall)}" if fall > 0.005 else "not fallen"
