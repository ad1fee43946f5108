"""The one way in which a wrong argument is reported: its name, its value, and what it should be."""


def require(condition: bool, name: str, value: object, should: str) -> None:
    """Refuse an argument that breaks its rule.

    Args:
        condition: Whether the rule holds.
        name: The argument's name, as the caller writes it.
        value: What was found.
        should: The rule, completing "`name` should ...".

    Raises:
        ValueError: The condition is false.

    Example:
        >>> require(False, "every", 0, "be at least 1")
        Traceback (most recent call last):
        ValueError: `every` should be at least 1. Found `every = 0`.
    """
    if not condition:
        raise ValueError(f"`{name}` should {should}. Found `{name} = {value!r}`.")
