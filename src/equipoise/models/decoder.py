"""What a decoder is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn


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
