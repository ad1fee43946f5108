"""The verdict in words that need no paper to be understood."""

from collections.abc import Mapping, Sequence

from equipoise.diagnosis.verdict.schema import Cause, Finding, Kind

_HEADLINES: Mapping[Cause, str] = {
    "weights": "weights (those that the method gives)",
    "method": "the method itself (with the plain sum of the gradients it would not be so)",
    "norms": "norms (gradients of very different lengths)",
    "conflict": "conflict (gradients against each other)",
    "norms and conflict": "norms and conflict (gradients of different lengths that are also against each other)",
    "duplicates": "duplicates (tasks that are copies of each other)",
    "noise": "noise (a task whose gradient is long and leads nowhere)",
}
_ENDS: Mapping[Cause, str] = {
    "weights": "The cause is weights: the method gives it a weight of {weight:.3g} (median of the others: "
    "{others_weight:.3g}); with uniform weights it would get",
    "method": "The cause is the method itself: in the plain sum of the gradients it would get",
    "norms": "The cause is norms: with gradients of equal length it would get",
    "conflict": "The cause is conflict, as other tasks pull the opposite way: if none did, it would get",
    "duplicates": "The cause is duplicates: if they counted once, it would get",
    "noise": "The cause is noise: without the noisy task it would get",
}
_SUMMARY: tuple[tuple[Kind, str, str], ...] = (
    ("starved", "is starved", "are starved"),
    ("dominating", "dominates", "dominate"),
    ("conflict", "conflicts", "are in conflict"),
    ("duplicates", "is a copy", "are copies of each other"),
    ("noise", "is noisy", "are noisy"),
)


def sentence(finding: Finding, longest: str | None, from_the_start: bool) -> str:
    """A finding in words.

    Args:
        finding: Without its text.
        longest: The task with the longest contribution, of a starved one.
        from_the_start: Whether it has been so from the first recorded step on.
    """
    numbers, names = finding.numbers, quoted(finding.tasks)
    since = "" if finding.since is None else ", from the start" if from_the_start else f", since step {finding.since}"
    share, fair = (percent(numbers[name]) if name in numbers else "" for name in ("share", "fair"))
    match finding.kind:
        case "starved":
            text = f"{names} gets {share} of the update{since}; its fair share is {fair}."
            if numbers.get("shorter", 0) > 1 and finding.cause not in ("conflict", "method"):
                text += f" Its contribution, gradient times weight, is {factor(numbers['shorter'])} times shorter than "
                text += f"that of `{longest}` (mean cosine with all others: {numbers['cosine']:.2f})."
            return f"{text} {_why(finding)}"
        case "dominating":
            return f"{names} takes {share} of the update{since}; its fair share is {fair}. {_why(finding)}"
        case "conflict":
            return (
                f"{names} pull against each other{since}: mean cosine {numbers['cosine']:.2f}. {_left(numbers)}"
                "Static weights do not end a conflict, they choose who wins."
            )
        case "duplicates":
            return (
                f"{names} pull the same way{since}: mean cosine {numbers['cosine']:.2f}. To the shared network they "
                f"are nearly one task that counts {len(finding.tasks)} times: together they get {share} of the "
                f"update; as one task, {fair} would be fair. Divide their weights by {len(finding.tasks)} or leave all "
                "but one out; methods that equalise norms do not see it."
            )
        case "noise":
            return (
                f"{names} takes {share} of the update{since} and hardly learns from it: its loss has "
                f"{_fallen(numbers['fall'])} (others: {_fallen(numbers['others_fall'])}), and its gradient points "
                f"elsewhere each time (cosine with the one before: {numbers['coherence']:.2f}). {_why(finding)}"
            )


def headline(cause: Cause, findings: Sequence[Finding]) -> str:
    """The verdict in one line.

    Args:
        cause: The main one.
        findings: At least one.
    """
    parts = []
    for kind, one, several in _SUMMARY:
        tasks = tuple(dict.fromkeys(task for finding in findings if finding.kind == kind for task in finding.tasks))
        if tasks:
            parts.append(f"{quoted(tasks)} {one if len(tasks) == 1 else several}")
    sure = cause != "noise" or any(finding.kind == "noise" for finding in findings)
    return f"Out of balance: {', '.join(parts)}. {'Main cause' if sure else 'Probable cause'}: {_HEADLINES[cause]}."


def balanced(shares: Sequence[float]) -> str:
    """The verdict on tasks that are balanced."""
    return f"Balanced: every task gets between {percent(min(shares))} and {percent(max(shares))} of the update."


def undecided(certainty: float) -> str:
    """The verdict where nothing is sure."""
    return (
        "Undecided: nothing is surely out of balance, and the numbers vary too much from step to step to call it "
        f"balanced ({sureness(certainty)} sure). More recorded steps would tell."
    )


def untold(tasks: Sequence[str]) -> str:
    """The verdict where nothing is found, and tasks have hardly a gradient."""
    return f"Undecided: nothing is surely out of balance, but what {quoted(tasks)} gets of the update cannot be told."


def too_few(count: int, least: int) -> str:
    """No verdict."""
    return (
        f"No verdict: {count} usable recorded steps are too few, {least} are needed. Train longer, or record more "
        "often: `training.probe.every` in a recipe, `Probe(every=...)` in a loop."
    )


def few(judged: int) -> str:
    """A warning."""
    return (
        f"Only {judged} recorded steps were judged: take certainties with care, as neighbouring steps resemble each "
        "other."
    )


def may_be_noise(task: str) -> str:
    """A doubt."""
    return f"`{task}` may be noisy: it gets more than its share and hardly learns, which is not sure yet."


def may_be_copies(first: str, second: str, cosine: float) -> str:
    """A doubt."""
    return f"`{first}` and `{second}` may be copies of each other: their mean cosine of {cosine:.2f} varies."


def may_conflict(first: str, second: str, cosine: float) -> str:
    """A doubt."""
    return f"`{first}` and `{second}` may be in conflict: their mean cosine of {cosine:.2f} varies."


def may_starve(task: str, share: float, fair: float) -> str:
    """A doubt."""
    return f"`{task}` may be starved: its {percent(share)} of the update (fair: {percent(fair)}) vary."


def may_dominate(task: str, share: float, fair: float) -> str:
    """A doubt."""
    return f"`{task}` may dominate: its {percent(share)} of the update (fair: {percent(fair)}) vary."


def silent(task: str, step: int) -> str:
    """A doubt."""
    return f"`{task}` has had no gradient since step {step}."


def quoted(tasks: Sequence[str]) -> str:
    """Names in a sentence.

    >>> quoted(("a", "b", "c"))
    '`a`, `b` and `c`'
    """
    names = [f"`{task}`" for task in tasks]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def percent(part: float) -> str:
    """A part of the whole, with the digits that matter.

    >>> percent(0.4213), percent(0.0123), percent(0.00002)
    ('42 %', '1.2 %', '0.002 %')
    """
    return f"{100 * part:.2g} %" if abs(part) < 0.1 else f"{100 * part:.0f} %"


def sureness(certainty: float) -> str:
    """How sure something is; never wholly.

    >>> sureness(0.97), sureness(0.99999)
    ('97 %', 'over 99 %')
    """
    return "over 99 %" if certainty > 0.99 else f"{100 * certainty:.0f} %"


def factor(ratio: float) -> str:
    """A ratio, with the digits that matter."""
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"


def _why(finding: Finding) -> str:
    if finding.cause not in _ENDS:
        return "The cause is norms and conflict together: neither equal lengths nor an end of the conflict would do."
    if finding.cause == "noise" and finding.kind == "noise":
        return "Look at its labels, or give it less weight: balancing cannot make noise useful."
    if finding.cause == "noise" and finding.kind == "dominating":
        return "Its gradient is long and leads nowhere: noise."
    return f"{_ENDS[finding.cause].format_map(finding.numbers)} {percent(finding.numbers['without_cause'])}."


def _left(numbers: Mapping[str, float]) -> str:
    # Of steps in which all weights are zero, there is no such part.
    if "survives" not in numbers:
        return ""
    return (
        f"{percent(numbers['survives'])} of what all tasks pull is left in the update; "
        f"{percent(numbers['orthogonal'])} would be if they did not get in each other's way. "
    )


def _fallen(fall: float) -> str:
    return f"fallen by {percent(fall)}" if fall > 0.005 else "not fallen"
