"""Options: the keyword-only arguments of a class, which a recipe or the command line gives by name."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints

from equipoise._core.text import hint


def option_types(constructor: type) -> dict[str, Any]:
    """Return the types of the options of a class by their names, in the order of its bases.

    Options that a constructor hands on to its base as `**options` count too. An annotation that cannot be evaluated at
    run time, such as one imported for type checkers alone, gives `Any`.
    """
    return {name: kind for name, (kind, _) in _options(constructor).items()}


def option_defaults(constructor: type) -> dict[str, Any]:
    """Return the defaults of the options of a class by their names; options without a default are left out.

    Example:
        >>> class Decoder:
        ...     def __init__(self, *, width: int = 256, kind: str): ...
        >>> option_defaults(Decoder)
        {'width': 256}
    """
    found = _options(constructor)
    return {name: default for name, (_, default) in found.items() if default is not inspect.Parameter.empty}


def check_options(owner: str, known: Iterable[str], given: Mapping[str, Any]) -> None:
    """Check that all given options are known.

    Args:
        owner: The class that takes the options; the message begins with it.
        known: The names of its options.
        given: The given options.

    Raises:
        ValueError: One is not known.

    Example:
        >>> check_options("Decoder `conv`", ["width"], {"widht": 8})
        Traceback (most recent call last):
        ValueError: Decoder `conv` takes the options width. Found `widht = 8`. Did you mean `width`?
    """
    known = list(known)
    takes = f"takes the options {', '.join(known)}" if known else "takes no options"
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"{owner} {takes}. Found `{name} = {value!r}`.{hint(name, known)}")


def check_required(owner: str, constructor: type, given: Iterable[str]) -> None:
    """Check that every option without a default is given.

    Args:
        owner: The class that takes the options; the message begins with it.
        constructor: The class.
        given: The names of the given options.

    Raises:
        ValueError: One is missing.
    """
    given = set(given)
    for name, (_, default) in _options(constructor).items():
        if default is inspect.Parameter.empty and name not in given:
            raise ValueError(f"{owner} should be given the option `{name}`. Found none.")


def _options(constructor: type) -> dict[str, tuple[Any, Any]]:
    """Return type and default of every option by its name."""
    found: dict[str, tuple[Any, Any]] = {}
    for base in constructor.__mro__:
        initialiser = vars(base).get("__init__")
        if initialiser is None:
            continue
        parameters = inspect.signature(initialiser).parameters.values()
        try:
            types = get_type_hints(initialiser)
        except NameError:
            types = {}
        own = {
            parameter.name: (types.get(parameter.name, Any), parameter.default)
            for parameter in parameters
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }
        found = own | found
        if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found
