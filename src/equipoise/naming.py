"""Things known by name: finding the classes that live one to a file, and refusing names that there are not."""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")


def discover(package: str, base: type[T]) -> dict[str, type[T]]:
    """Import every file of a folder and return the concrete classes under `base` by the name of their file.

    Args:
        package: Dotted name of the folder (one level is looked at). Files without such a class are passed over.
        base: What the classes derive from.

    Returns:
        The classes in alphabetical order of their names.

    Raises:
        TypeError: A file defines two such classes, so that its name does not say which is meant.
    """
    found: dict[str, type[T]] = {}
    for name in sorted(entry.name for entry in pkgutil.iter_modules(importlib.import_module(package).__path__)):
        module = importlib.import_module(f"{package}.{name}")
        classes = [
            value
            for value in vars(module).values()
            if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module.__name__
        ]
        concrete = [value for value in classes if not inspect.isabstract(value)]
        if len(concrete) > 1:
            names = " and ".join(f"`{value.__name__}`" for value in concrete)
            raise TypeError(f"`{module.__name__}` should define one {base.__name__}. Found {names}; move all but one.")
        if concrete:
            found[name] = concrete[0]
    return found


def hint(name: str, known: Iterable[str]) -> str:
    """A question after an unknown name, or nothing where no known name is like it.

    Examples:
        >>> hint("shard", ["shared", "mtan"])
        ' Did you mean `shared`?'
    """
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean `{nearest[0]}`?" if nearest else ""


def unknown(argument: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that is not among the known ones.

    Examples:
        >>> unknown("split", "vall", ["train", "val"])
        ValueError("`split` should be one of train, val. Found `split = 'vall'`. Did you mean `val`?")
    """
    known = list(known)
    listed = ", ".join(known)
    return ValueError(f"`{argument}` should be one of {listed}. Found `{argument} = {name!r}`.{hint(name, known)}")


def choose(argument: str, name: str, known: Mapping[str, T]) -> T:
    """`known[name]`.

    Raises:
        ValueError: There is no such name; the message lists what there is.
    """
    if name not in known:
        raise unknown(argument, name, known)
    return known[name]


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
