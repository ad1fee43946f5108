"""Backbones: any timm model that gives features, behind one adaptor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from equipoise.models.backbone_build import build
from equipoise.models.last_layer import last_layer
from equipoise.models.layers import resize


class Backbone(nn.Module):
    """A timm model as a list of features, from fine to coarse.

    How they are read is found from the model itself:

    - Convolutional networks, and transformers that grow coarser by stages (Swin), give the features that timm takes
      from them, one a stride.
    - HRNets give their four branches, strides 4 to 32, without the modules that widen them for classification.
    - Vision transformers give the tokens of several blocks as maps, all at the stride of a patch; class and register
      tokens are dropped. The option `out_indices` says of which blocks (counted from 0; by default four, evenly spaced,
      the last one among them). What the last block gives goes through the model's final normalisation, the other maps
      are as the blocks leave them. SAM's has no such normalisation: its neck, which makes 256 channels for SAM's own
      decoder, is left out.

    Images may have any size, save for the few transformers that timm builds for one size. Where a network needs sides
    that are multiples of a number (a ViT's patch, an HRNet's coarsest stride), images are resized to the nearest ones,
    and position embeddings are resampled to what comes in. So a ViT with patches of 14 pixels sees images of 448x576 at
    448x574, as in paper one.

    From scratch the weights are timm's initialisation. For ResNets that means residual branches that start at zero (the
    last batch normalisation of each has weight 0): on the first step the gradient at the last layer is then exactly
    zero for every task.

    Args:
        name: A timm model, with or without a tag ("resnet18", "resnet18.a1_in1k"); see `timm.list_models()`.
        pretrained: False: random weights and no network traffic. True: timm's weights for that name, from its cache or
            the network. A path: a .safetensors or .pth file with the weights of the whole timm (or, for a ResNet,
            torchvision) model; its classifier is left out.
        output_stride: Stride of the coarsest features. Strides beyond it become dilations: a convolution that had such
            a stride keeps the dilation so far, every later one gets twice that. None leaves the model as it is.
        options: Further arguments of timm's constructor.

    Attributes:
        network: The timm model; timm's feature extractor around it where the model is no transformer of one stride.
        channels: Channels of each feature.
        strides: Stride of each feature with respect to the image.

    Raises:
        ValueError: If timm has no such model, the model does not give features or cannot have that output stride or
            those options, or the weights cannot be had or do not fit.
    """

    def __init__(
        self, name: str, pretrained: bool | str | Path = False, output_stride: int | None = None, **options: Any
    ) -> None:
        super().__init__()
        self.name = name
        self.network, self._reader = build(name, pretrained, output_stride, options)
        self.channels = list(self._reader.channels)
        self.strides = list(self._reader.strides)
        if output_stride is not None and self.strides[-1] != output_stride:
            raise ValueError(
                f"`output_stride` should be a stride that {name} can have. Found `output_stride = {output_stride}`; "
                f"its features have strides {self.strides}."
            )
        size = options.get("img_size", self.network.pretrained_cfg["input_size"][1:])
        self._image_size: tuple[int, int] = (size, size) if isinstance(size, int) else tuple(size)
        self._fixed = any(getattr(module, "strict_img_size", False) for module in self.network.modules())

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, H, W] to features [B, channels[i], h, w], each about 1 / strides[i] of the image's size.

        Raises:
            ValueError: If the images do not have the one size that the network is built for.
        """
        return self._reader.features(self.network, self._fitted(images))

    def stages(self) -> list[list[nn.Module]]:
        """The modules from each feature to the next, in the order in which they run.

        A pooling that follows a feature belongs to the stage before it: a ResNet's first stage is its stem with the max
        pooling, the others are its layers 1 to 4.

        Raises:
            ValueError: If the features of the network do not follow from one another.
        """
        found = self._reader.stages(self.network)
        if found is None:
            raise ValueError(
                f"`backbone` should be a network that runs stage by stage. Found `backbone = {self.name!r}`, whose "
                "features do not follow from one another. Use a ResNet, a RegNet, a ConvNeXt or a Swin transformer."
            )
        return found

    def stage(self, number: int, maps: Tensor) -> Tensor:
        """Run one stage: from images (number 0) or from what the stage before has given, [B, C, h, w], to its own maps.

        Raises:
            ValueError: If the features of the network do not follow from one another.
        """
        modules = self.stages()[number]
        channels_last = self._reader.channels_last
        maps = self._fitted(maps) if number == 0 else maps.permute(0, 2, 3, 1) if channels_last else maps
        for module in modules:
            maps = module(maps)
        return maps.permute(0, 3, 1, 2) if channels_last else maps

    def last_layer(self) -> nn.Module:
        """The layer that writes the last feature: a ResNet's last convolution in layer4, a ViT's last MLP output.

        The branches of an HRNet are written together: of it, this is the last module that fuses them, in which several
        layers write each branch.
        """
        return self._reader.last_layer(self.network) or last_layer(self, self._image_size)

    def _fitted(self, images: Tensor) -> Tensor:
        found = tuple(images.shape[-2:])
        if self._fixed and found != self._image_size:
            raise ValueError(
                f"`images` should have the size that `{self.name}` is built for, {self._image_size}. Found {found}. "
                f"Build it with `img_size = {found}`, or take a backbone that adapts to its images."
            )
        multiple = self._reader.multiple
        height, width = (max(1, (side + multiple // 2) // multiple) * multiple for side in images.shape[-2:])
        return images if images.shape[-2:] == (height, width) else resize(images, (height, width))
