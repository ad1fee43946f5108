"""Decoders, from shared features to one task's prediction: one file each, known by the name of its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from equipoise.models.decoder import Decoder
from equipoise.naming import check_options, choose, discover, option_types
from equipoise.tasks import Output

__all__ = ["available", "create", "for_task", "get"]


@cache
def _classes() -> dict[str, type[Decoder]]:
    return discover(__name__, Decoder)


def available() -> list[str]:
    """The names of the decoders.

    >>> "conv" in available()
    True
    """
    return sorted(_classes())


def get(name: str) -> type[Decoder]:
    """The class of a decoder.

    Raises:
        ValueError: If there is no such decoder.
    """
    return choose("decoder", name, _classes())


def create(name: str, channels: Sequence[int], outputs: int, **options: Any) -> Decoder:
    """Build a decoder.

    Args:
        name: One of `available()`.
        channels: Channels of the features that it reads.
        outputs: Channels of the prediction.
        options: The decoder's own options.

    Raises:
        ValueError: If there is no such decoder or it has no such option.
    """
    decoder = get(name)
    check_options(f"Decoder `{name}`", option_types(decoder), options)
    return decoder(channels, outputs, **options)


def for_task(output: Output, name: str, channels: Sequence[int], options: Mapping[str, Any] | None = None) -> Decoder:
    """The decoder of a task: the one asked for, or `pooled`, which reads the same features, if the task is not dense.

    Raises:
        ValueError: If there is no such decoder or it has no such option.
    """
    if not output.dense:
        return create("pooled", channels, output.channels)
    return create(name, channels, output.channels, **(options or {}))
