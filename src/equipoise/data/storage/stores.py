"""Where the decoded files of a dataset are kept between uses."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from equipoise.data.storage.mapped import MappedFile

Read = Callable[[str, str], Any]
"""Decodes one part of a sample, from its identifier and key; the method ``read`` of a dataset."""


class Store(ABC):
    """Gives decoded files; handed to the worker processes of a loader together with its dataset."""

    @abstractmethod
    def get(self, read: Read, identifier: str, key: str) -> Any:
        """Return one part of a sample, which nobody may change in place.

        Raises:
            DatasetError: The file is missing or damaged.
        """


class Nothing(Store):
    """Keeps nothing: a file is decoded whenever it is wanted."""

    def get(self, read: Read, identifier: str, key: str) -> Any:
        """Return what reading gives."""
        return read(identifier, key)


class Memory(Store):
    """Keeps what has been decoded in the memory of this process; every worker process has a copy of its own."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Any] = {}

    def get(self, read: Read, identifier: str, key: str) -> Any:
        """Return what is kept, or what reading gives, which is kept from then on."""
        place = identifier, key
        if place not in self._kept:
            self._kept[place] = read(identifier, key)
        return self._kept[place]

    def __getstate__(self) -> dict[str, Any]:
        # Sending it all to a worker would take longer than decoding what that worker needs.
        return {"_kept": {}}


class Disk(Store):
    """Takes what has been decoded from memory-mapped files, which all processes share.

    Args:
        files: The mapped file of every key.
    """

    def __init__(self, files: Mapping[str, MappedFile]) -> None:
        self._files = files

    def get(self, read: Read, identifier: str, key: str) -> Any:
        """Return a view of the mapped file; reads again what could not be decoded, for the error that this raises."""
        found = self._files[key].get(identifier)
        return read(identifier, key) if found is None else found
