"""Options: the keyword-only arguments of a class, which a recipe or the command line gives by name."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints

from equipoise._core.text import hint


def option_types(constructor: type) -> dict[str, Any]:
    """The keyword-only arguments of a class by name, with their types; also those it hands on to its base as `**`."""
    found: dict[str, Any] = {}
    for base in constructor.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        types = get_type_hints(vars(base)["__init__"])
        own = [parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
        found = {name: types.get(name, Any) for name in own} | found
        if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def option_defaults(constructor: type) -> dict[str, Any]:
    """Return the defaults of the keyword-only arguments of a class by name; arguments without a default are left out.

    Like `option_types`, it follows arguments that a class hands on to its base as `**`.

    Example:
        >>> class Decoder:
        ...     def __init__(self, *, width: int = 256, kind: str): ...
        >>> option_defaults(Decoder)
        {'width': 256}
    """
    found: dict[str, Any] = {}
    for base in constructor.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        own = {
            parameter.name: parameter.default
            for parameter in parameters
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.default is not inspect.Parameter.empty
        }
        found = own | found
        if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def check_options(owner: str, known: Iterable[str], given: Mapping[str, Any]) -> None:
    """See that all given options are known.

    Args:
        owner: Whose options they are, as a message begins.
        known: The names that there are.
        given: The options.

    Raises:
        ValueError: One is not.

    Examples:
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
    """See that no option is left out that has no default.

    Args:
        owner: Whose options they are, as a message begins.
        constructor: The class whose keyword-only arguments they are.
        given: The names of the options that are given.

    Raises:
        ValueError: One is left out.
    """
    for name, parameter in inspect.signature(constructor).parameters.items():
        required = parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.default is inspect.Parameter.empty
        if required and name not in set(given):
            raise ValueError(f"{owner} should be given the option `{name}`. Found none.")
