"""Decoders, from shared features to one task's prediction: one file each, known by the name of its file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from equipoise._core.options import check_options, option_types
from equipoise._core.registry import Registry
from equipoise.tasks import Output


class Decoder(nn.Module, ABC):
    """Turns shared features into one task's prediction.

    The options of a subclass are the keyword-only arguments of its constructor.

    Args:
        channels: Channels of the features that it reads, which are the backbone's `channels[levels]`.
        outputs: Channels of the prediction.
    """

    levels: ClassVar[slice] = slice(-1, None)
    """Which of the backbone's stages it reads, from fine to coarse; the last one unless a subclass says otherwise."""

    @abstractmethod
    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, features: list[Tensor]) -> Tensor:
        """Features [B, C, h, w], one for each of `channels`, to [B, outputs, h, w] at the size of the finest.

        A decoder for tasks that are not dense puts out [B, outputs].
        """


__all__ = ["available", "create", "for_task", "get"]


decoders: Registry[Decoder] = Registry("decoder", Decoder, package=__name__, group="equipoise.decoders")


def available() -> list[str]:
    """The names of the decoders.

    >>> "conv" in available()
    True
    """
    return list(decoders)


def get(name: str) -> type[Decoder]:
    """The class of a decoder.

    Raises:
        ValueError: If there is no such decoder.
    """
    return decoders[name]


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
