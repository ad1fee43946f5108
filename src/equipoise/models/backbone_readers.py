"""How features are read off a timm model: one class for each way in which such models are made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from timm.layers.format import Format
from timm.layers.patch_embed import PatchEmbed
from timm.models import FeatureListNet
from timm.models._features import FeatureGetterNet
from torch import Tensor, nn


class Reader(ABC):
    """Reads features off the networks of one family.

    Args:
        network: What timm has built; the reader may take out modules that no feature needs.
        options: What timm's constructor was given.

    Attributes:
        channels: Channels of each feature.
        strides: Stride of each feature with respect to the image.
        multiple: What the sides of the images must be multiples of.
        channels_last: Whether the maps between the network's modules are [B, h, w, C].
    """

    wrapped: ClassVar[bool] = True
    """Whether the family is read through timm's feature extractor, not off the bare model."""

    channels: list[int]
    strides: list[int]
    multiple: int = 1
    channels_last: bool = False

    @abstractmethod
    def __init__(self, network: Any, options: Mapping[str, Any]) -> None: ...

    @staticmethod
    @abstractmethod
    def fits(probe: Any) -> bool:
        """Whether timm's feature extractor, built for a look at it, is around a model of this family."""

    @staticmethod
    def complete(options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that timm's constructor needs for this family."""
        return dict(options)

    @abstractmethod
    def features(self, network: Any, images: Tensor) -> list[Tensor]:
        """Images whose sides are multiples of `multiple` to features [B, C, h, w]."""

    def stages(self, network: Any) -> list[list[nn.Module]] | None:
        """The modules from each feature to the next; nothing where features do not follow from one another."""
        return None

    def last_layer(self, network: Any) -> nn.Module | None:
        """The layers that write the features, where these are written together; else nothing."""
        return None


class Branches(Reader):
    """HRNets: parallel branches that are fused again and again.

    timm's features are the branches after modules that widen them for its classifier; here they are the branches. In
    the fusion, coarse branches are resized bilinearly, as the dense networks built on HRNet do; timm's classifiers
    repeat pixels.
    """

    def __init__(self, network: Any, options: Mapping[str, Any]) -> None:
        self.channels = network.feature_info.channels()
        self.strides = network.feature_info.reduction()
        # The branches meet only if each is exactly half as large as the one before it.
        self.multiple = self.strides[-1]
        for module in network.modules():
            if isinstance(module, nn.Upsample):
                module.mode = "bilinear"

    @staticmethod
    def fits(probe: Any) -> bool:
        """Whether it has the modules that widen the branches."""
        return hasattr(probe, "incre_modules")

    @staticmethod
    def complete(options: Mapping[str, Any]) -> dict[str, Any]:
        """The branches, without those modules and without the stem."""
        return {"out_indices": (1, 2, 3, 4), **options, "feature_location": ""}

    def features(self, network: Any, images: Tensor) -> list[Tensor]:
        """The branches."""
        return network(images)

    def last_layer(self, network: Any) -> nn.Module:
        """What fuses the branches the last time."""
        return network.stage4[-1].fuse_layers


class Tokens(Reader):
    """Vision transformers that keep one stride: blocks that each read and write all tokens."""

    wrapped = False

    def __init__(self, network: Any, options: Mapping[str, Any]) -> None:
        depth = len(network.blocks)
        chosen = options.get("out_indices", {max(1, depth * part // 4) - 1 for part in (1, 2, 3, 4)})
        # As everywhere in timm, a number asks for so many of the last.
        self._indices = sorted(index % depth for index in (range(-chosen, 0) if isinstance(chosen, int) else chosen))
        # SAM has a neck in place of a normalisation; timm takes it out together with that.
        self._has_norm = self._indices[-1] == depth - 1 and hasattr(network, "norm")
        network.prune_intermediate_layers(self._indices, prune_norm=not self._has_norm)
        info = [network.feature_info[index] for index in self._indices]
        self.channels = [entry["num_chs"] for entry in info]
        self.strides = [entry["reduction"] for entry in info]
        self.multiple = self.strides[-1]

    @staticmethod
    def fits(probe: Any) -> bool:
        """Whether it is a chain of blocks of one stride."""
        return (
            isinstance(probe, FeatureGetterNet)
            and hasattr(probe.model, "blocks")
            and len(set(probe.feature_info.reduction())) == 1
        )

    def features(self, network: Any, images: Tensor) -> list[Tensor]:
        """The tokens of the chosen blocks as maps."""
        maps = network.forward_intermediates(images, indices=self._indices, intermediates_only=True)
        if self._has_norm:
            maps[-1] = network.norm(maps[-1].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return maps


class Stages(Reader):
    """Everything else: networks whose features timm's extractor takes one after another."""

    def __init__(self, network: Any, options: Mapping[str, Any]) -> None:
        self.channels = network.feature_info.channels()
        self.strides = network.feature_info.reduction()
        self.channels_last = getattr(network, "output_fmt", Format.NCHW) == Format.NHWC
        # A patch embedding leaves out what does not fill a patch, or refuses it.
        for module in network.modules():
            if isinstance(module, PatchEmbed):
                self.multiple = max(self.multiple, *map(int, module.patch_size))

    @staticmethod
    def fits(probe: Any) -> bool:
        """Always."""
        return True

    def features(self, network: Any, images: Tensor) -> list[Tensor]:
        """The features of timm's extractor."""
        features = network(images)
        return [feature.permute(0, 3, 1, 2) for feature in features] if self.channels_last else features

    def stages(self, network: Any) -> list[list[nn.Module]] | None:
        """The modules of timm's extractor, which run one after another."""
        if not isinstance(network, FeatureListNet):
            return None
        found: list[list[nn.Module]] = [[]]
        ended = False
        for name, module in network.items():
            if ended and next(module.parameters(), None) is not None:
                found.append([])
                ended = False
            found[-1].append(module)
            ended = ended or name in network.return_layers
        return found


FAMILIES: tuple[type[Reader], ...] = (Branches, Tokens, Stages)
"""In the order in which they are asked whether they fit."""
