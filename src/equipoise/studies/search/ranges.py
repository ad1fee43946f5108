"""Ranges of weights as people write them."""

from collections.abc import Sequence


def parse_ranges(texts: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Ranges by task.

    Args:
        texts: Such as `depth=1,2,5`.

    Raises:
        ValueError: One has another form, or two are of the same task.

    >>> parse_ranges(["depth=1,2,5", "edge=10"])
    {'depth': (1.0, 2.0, 5.0), 'edge': (10.0,)}
    """
    found: dict[str, tuple[float, ...]] = {}
    for text in texts:
        task, _, numbers = text.partition("=")
        try:
            values = tuple(float(number) for number in numbers.split(","))
        except ValueError:
            raise ValueError(
                f"a range should have the form TASK=NUMBER,NUMBER,... such as depth=1,2,5. Found `{text}`."
            ) from None
        if task in found:
            raise ValueError(f"a task should have one range. Found two of `{task}`.")
        found[task] = values
    return found
