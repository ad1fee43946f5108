"""Packages that only some parts of Equipoise need, each brought by an extra."""

import importlib
import warnings
from functools import cache
from types import ModuleType

from equipoise._core.errors import InputError


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
