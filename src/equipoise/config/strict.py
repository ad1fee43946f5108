"""What all parts of a configuration have in common: unknown keys are errors, and nothing changes once it is read."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from equipoise.naming import check_options


class Strict(BaseModel):
    """Any part of a configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class WithOptions(Strict):
    """Its own keys, and those of a class that it names; values are converted to the types that the class asks for."""

    model_config = ConfigDict(extra="allow")

    @property
    def options(self) -> dict[str, Any]:
        """The options of the named class."""
        return dict(self.model_extra or {})

    def _check(self, owner: str, types: Mapping[str, Any]) -> None:
        if self.model_extra:
            self.model_extra.update(converted_options(owner, types, self.options))


def converted_options(owner: str, types: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a class with their values converted to the types that it asks for.

    Args:
        owner: Whose options they are, as a message begins.
        types: The types of all options by name.
        given: The options.

    Raises:
        ValueError: There is no such option, or a value does not fit.

    >>> converted_options("executor `ray`", {"cpus": int}, {"cpus": "2"})
    {'cpus': 2}
    """
    check_options(owner, types, given)
    converted = {}
    for name, value in given.items():
        try:
            adapter = TypeAdapter(types[name], config={"arbitrary_types_allowed": True})
            converted[name] = adapter.validate_python(value)
        except ValidationError as error:
            message = error.errors(include_url=False)[0]["msg"]
            raise ValueError(f"{message[0].lower()}{message[1:]}. Found `{name} = {value!r}`") from error
    return converted
