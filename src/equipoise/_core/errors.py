"""Errors about arguments and other input: how they are reported, and how bugs are told from them."""

import dis
import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType


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


class InputError(ValueError):
    """An error in what a user gave: a recipe, an option, or the data. The message says what to change."""


@contextmanager
def input_errors() -> Iterator[None]:
    """Mark a block of code that handles what a user gave.

    All rooms refuse a value by a `raise` statement with a `ValueError`, as `require` does. Inside the block such an
    error becomes an `InputError`. Any other `ValueError`, such as one of `int("x")` or of a library, is a bug: it stays
    as it is, also inside the block. So does every `ValueError` outside.

    Raises:
        InputError: The block refused a value.

    Example:
        >>> with input_errors():
        ...     require(False, "every", 0, "be at least 1")
        Traceback (most recent call last):
        equipoise._core.errors.InputError: `every` should be at least 1. Found `every = 0`.
    """
    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        if not _raised_by_us(error):
            raise
        raise InputError(str(error)) from error


def _raised_by_us(error: ValueError) -> bool:
    """Return whether a `raise` statement in Equipoise raised an error: the last instruction of its traceback."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] != "equipoise":
        return False
    return dis.opname[trace.tb_frame.f_code.co_code[trace.tb_lasti]] == "RAISE_VARARGS"


class MissingExtraError(ImportError, InputError):
    """A package is not installed that an optional part needs; a `ValueError` too, since the user can put it right."""


@cache
def import_extra(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a module of a package that an extra brings.

    Args:
        module: Its dotted name.
        extra: The name of the extra.
        purpose: The part that needs it; the message begins with it.

    Raises:
        MissingExtraError: The package is not installed.
    """
    try:
        with warnings.catch_warnings():
            # Packages warn about themselves while they load.
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise
        raise MissingExtraError(
            f"{purpose} needs the package `{package}`. Install it: pip install 'equipoise[{extra}]'.", name=package
        ) from error
