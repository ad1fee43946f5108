"""Packages that not everybody needs."""

import importlib
import warnings
from functools import cache
from types import ModuleType

from equipoise._core.errors import InputError


class MissingExtraError(ImportError, InputError):
    """A package is not installed that an optional part needs; a `ValueError` too, as all that a user can put right."""


@cache
def imported(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a module that an extra of Equipoise brings.

    Args:
        module: Its dotted name.
        extra: The name of the extra.
        purpose: What needs it, as a message begins.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        with warnings.catch_warnings():
            # Of the package's own making, while it loads.
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise
        raise MissingExtraError(
            f"{purpose} needs the package `{package}`. Install it: pip install 'equipoise[{extra}]'.", name=package
        ) from error
