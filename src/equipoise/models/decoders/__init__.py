"""Decoders: from shared features to the prediction of one task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from equipoise._core.options import check_options, option_types
from equipoise._core.registry import Registry
from equipoise.tasks import Output

__all__ = ["Decoder", "available", "create", "for_task", "get"]


class Decoder(nn.Module, ABC):
    """Base class of decoders, which turn shared features into the prediction of one task.

    The options of a subclass are the keyword-only arguments of its constructor.

    Args:
        channels: Channels of the features that it reads: the backbone's `channels[levels]`.
        outputs: Channels of the prediction.
    """

    levels: ClassVar[slice] = slice(-1, None)
    """The stages of the backbone that it reads, from fine to coarse; by default the last one."""

    @abstractmethod
    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, features: list[Tensor]) -> Tensor:
        """Predict.

        Args:
            features: One map [B, C, h, w] for each of `channels`, from fine to coarse.

        Returns:
            [B, outputs, h, w], mostly at the size of the finest map; [B, outputs] for a task that is not dense.
        """


decoders: Registry[Decoder] = Registry("decoder", Decoder, package=__name__, group="equipoise.decoders")


def available() -> list[str]:
    """Return the names of the decoders.

    Example:
        >>> "conv" in available()
        True
    """
    return list(decoders)


def get(name: str) -> type[Decoder]:
    """Return the class of a decoder.

    Raises:
        ValueError: There is no such decoder.
    """
    return decoders[name]


def create(name: str, channels: Sequence[int], outputs: int, **options: Any) -> Decoder:
    """Build a decoder.

    Args:
        name: One of `available()`, or `module:Class`.
        channels: Channels of the features that it reads.
        outputs: Channels of the prediction.
        options: The decoder's own options.

    Raises:
        ValueError: There is no such decoder, or it has no such option.
    """
    decoder = get(name)
    check_options(f"Decoder `{name}`", option_types(decoder), options)
    return decoder(channels, outputs, **options)


def for_task(output: Output, name: str, channels: Sequence[int], options: Mapping[str, Any] | None = None) -> Decoder:
    """Build the decoder of a task: the named one, or `pooled` on the same features if the task is not dense.

    Raises:
        ValueError: There is no such decoder, or it has no such option.
    """
    if not output.dense:
        return create("pooled", channels, output.channels)
    return create(name, channels, output.channels, **(options or {}))
