"""Readers of the features of timm models: one class per family of networks."""

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
    """Base class of readers, which return the features of the networks of one family.

    Args:
        network: The network that timm has built; the reader may remove modules that no feature needs.
        options: The options that timm's constructor was given.

    Attributes:
        channels: Channels of each feature.
        strides: Stride of each feature with respect to the image.
        multiple: The number whose multiples the sides of the images must be.
        channels_last: Whether the maps between the network's modules are [B, h, w, C].
    """

    wrapped: ClassVar[bool] = True
    """Whether the reader needs timm's feature extractor in place of the bare model."""

    channels: list[int]
    strides: list[int]
    multiple: int = 1
    channels_last: bool = False

    @abstractmethod
    def __init__(self, network: Any, options: Mapping[str, Any]) -> None: ...

    @staticmethod
    @abstractmethod
    def fits(probe: Any) -> bool:
        """Return whether a feature extractor of timm's, built without data, wraps a model of this family."""

    @staticmethod
    def complete(options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that timm's constructor needs for this family."""
        return dict(options)

    @abstractmethod
    def features(self, network: Any, images: Tensor) -> list[Tensor]:
        """Return the features, [B, C, h, w] each, of images whose sides are multiples of `multiple`."""

    def stages(self, network: Any) -> list[list[nn.Module]] | None:
        """Return the modules from each feature to the next; none if features do not follow from one another."""
        return None

    def last_layer(self, network: Any) -> nn.Module | None:
        """Return the module that writes all features, if one does; otherwise none."""
        return None


class Branches(Reader):
    """HRNets: parallel branches that are fused repeatedly.

    timm's features come after modules that widen the branches for its classifier; here the features are the branches
    themselves. In the fusion, coarse branches are resized bilinearly, as in dense networks on HRNet; timm's classifiers
    repeat pixels.
    """

    def __init__(self, network: Any, options: Mapping[str, Any]) -> None:
        self.channels = network.feature_info.channels()
        self.strides = network.feature_info.reduction()
        # The branches fit together only if each is exactly half as large as the one before it.
        self.multiple = self.strides[-1]
        for module in network.modules():
            if isinstance(module, nn.Upsample):
                module.mode = "bilinear"

    @staticmethod
    def fits(probe: Any) -> bool:
        """Return whether it has the modules that widen the branches."""
        return hasattr(probe, "incre_modules")

    @staticmethod
    def complete(options: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for the branches, without those modules and without the stem."""
        return {"out_indices": (1, 2, 3, 4), **options, "feature_location": ""}

    def features(self, network: Any, images: Tensor) -> list[Tensor]:
        """Return the branches."""
        return network(images)

    def last_layer(self, network: Any) -> nn.Module:
        """Return the last module that fuses the branches."""
        return network.stage4[-1].fuse_layers


class Tokens(Reader):
    """Vision transformers of one stride, whose blocks each read and write all tokens."""

    wrapped = False

    def __init__(self, network: Any, options: Mapping[str, Any]) -> None:
        depth = len(network.blocks)
        chosen = options.get("out_indices", {max(1, depth * part // 4) - 1 for part in (1, 2, 3, 4)})
        # As everywhere in timm, a number n means the last n blocks.
        self._indices = sorted(index % depth for index in (range(-chosen, 0) if isinstance(chosen, int) else chosen))
        # SAM has a neck in place of the normalisation; timm removes it with `prune_norm`.
        self._has_norm = self._indices[-1] == depth - 1 and hasattr(network, "norm")
        network.prune_intermediate_layers(self._indices, prune_norm=not self._has_norm)
        info = [network.feature_info[index] for index in self._indices]
        self.channels = [entry["num_chs"] for entry in info]
        self.strides = [entry["reduction"] for entry in info]
        self.multiple = self.strides[-1]

    @staticmethod
    def fits(probe: Any) -> bool:
        """Return whether it is a chain of blocks of one stride."""
        return (
            isinstance(probe, FeatureGetterNet)
            and hasattr(probe.model, "blocks")
            and len(set(probe.feature_info.reduction())) == 1
        )

    def features(self, network: Any, images: Tensor) -> list[Tensor]:
        """Return the tokens of the chosen blocks as maps."""
        maps = network.forward_intermediates(images, indices=self._indices, intermediates_only=True)
        if self._has_norm:
            maps[-1] = network.norm(maps[-1].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return maps


class Stages(Reader):
    """All other networks: timm's extractor takes their features one after another."""

    def __init__(self, network: Any, options: Mapping[str, Any]) -> None:
        self.channels = network.feature_info.channels()
        self.strides = network.feature_info.reduction()
        self.channels_last = getattr(network, "output_fmt", Format.NCHW) == Format.NHWC
        # A patch embedding drops or refuses pixels that do not fill a patch.
        for module in network.modules():
            if isinstance(module, PatchEmbed):
                self.multiple = max(self.multiple, *map(int, module.patch_size))

    @staticmethod
    def fits(probe: Any) -> bool:
        """Return true: this is the last family to be asked."""
        return True

    def features(self, network: Any, images: Tensor) -> list[Tensor]:
        """Return the features of timm's extractor."""
        features = network(images)
        return [feature.permute(0, 3, 1, 2) for feature in features] if self.channels_last else features

    def stages(self, network: Any) -> list[list[nn.Module]] | None:
        """Return the modules of timm's extractor, which run one after another."""
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
"""In the order in which `fits` is called."""
