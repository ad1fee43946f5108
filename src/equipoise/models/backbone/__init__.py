"""Backbones: any timm model that gives features, behind one adaptor."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from equipoise.models.backbone.build import build
from equipoise.models.layers import resize

__all__ = ["Backbone"]


class Backbone(nn.Module):
    """A timm model as a list of features, from fine to coarse.

    The kind of model decides which features it has:

    - Convolutional networks, and transformers with stages (Swin), have the features that timm takes from them, one per
      stride.
    - HRNets have their four branches, strides 4 to 32, without the modules that widen them for classification.
    - Vision transformers have the tokens of several blocks as maps, all at the stride of a patch, without class and
      register tokens. The option `out_indices` chooses the blocks (counted from 0; by default four, evenly spaced, the
      last one among them). The model's final normalisation is applied to the tokens of the last block, not to the
      others. SAM's model has none; its neck, which makes 256 channels for SAM's own decoder, is left out.

    Images may have any size, except for the few transformers that timm builds for one size. Some networks need sides
    that are multiples of a number (a ViT's patch, an HRNet's coarsest stride). Images are then resized to the nearest
    multiples, and position embeddings are resampled. A ViT with patches of 14 pixels thus sees images of 448x576 at
    448x574, as in Guo et al. (2025).

    Without pretrained weights the initialisation is timm's. In ResNets the residual branches then start at zero (the
    last batch normalisation of each has weight 0), so on the first step the gradient at the last layer is exactly zero
    for every task.

    Args:
        name: A timm model, with or without a tag ("resnet18", "resnet18.a1_in1k"); see `timm.list_models()`.
        pretrained: False: random weights and no network traffic. True: timm's weights for that name, from its cache or
            the network. A path: a .safetensors or .pth file with the weights of the whole timm (or, for a ResNet,
            torchvision) model; its classifier is left out.
        output_stride: Stride of the coarsest features. Larger strides become dilations: a convolution that had such a
            stride keeps the dilation so far, every later one gets twice that. None leaves the model as it is.
        options: Further arguments of timm's constructor.

    Attributes:
        network: The timm model; if it is no transformer of one stride, timm's feature extractor around it.
        channels: Channels of each feature.
        strides: Stride of each feature with respect to the image.

    Raises:
        ValueError: timm has no such model, the model has no features or not that output stride or those options, or the
            weights are not available or do not fit.
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
        """Return features [B, channels[i], h, w] of images [B, 3, H, W]; their sides are about 1 / strides[i] of H, W.

        Raises:
            ValueError: The network is built for images of another size.
        """
        return self._reader.features(self.network, self._fitted(images))

    def stages(self) -> list[list[nn.Module]]:
        """Return the modules from each feature to the next, in the order in which they run.

        A pooling after a feature belongs to the stage before it: a ResNet's first stage is its stem with the max
        pooling, the others are its layers 1 to 4.

        Raises:
            ValueError: The features of the network do not follow from one another.
        """
        found = self._reader.stages(self.network)
        if found is None:
            raise ValueError(
                f"`backbone` should be a network that runs stage by stage. Found `backbone = {self.name!r}`, whose "
                "features do not follow from one another. Use a ResNet, a RegNet, a ConvNeXt or a Swin transformer."
            )
        return found

    def stage(self, number: int, maps: Tensor) -> Tensor:
        """Run one stage.

        Args:
            number: The number of the stage, from 0.
            maps: The output of the stage before, [B, C, h, w]; for stage 0 the images.

        Raises:
            ValueError: The features of the network do not follow from one another.
        """
        modules = self.stages()[number]
        channels_last = self._reader.channels_last
        maps = self._fitted(maps) if number == 0 else maps.permute(0, 2, 3, 1) if channels_last else maps
        for module in modules:
            maps = module(maps)
        return maps.permute(0, 3, 1, 2) if channels_last else maps

    def last_layer(self) -> nn.Module:
        """Return the layer that writes the last feature: a ResNet's last convolution in layer4, a ViT's last MLP layer.

        For an HRNet it is the last module that fuses the branches, since several layers in it write each branch.
        """
        return self._reader.last_layer(self.network) or _find_last_layer(self, self._image_size)

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


def _find_last_layer(backbone: nn.Module, image_size: tuple[int, int]) -> nn.Module:
    """Find the layer that writes the last feature of a network in the autograd graph.

    Candidates are the layers with a weight matrix or kernel whose output leads to the last feature and is at least as
    large; this excludes gates that are computed from pooled features. Of these, the layer with the most operations
    before it is taken; this prefers a residual branch to the projection beside it.

    Args:
        backbone: A network that turns images [B, 3, H, W] into a list of features; the layer is one of its modules.
        image_size: (H, W), a size that the network takes.
    """
    # A copy without data computes nothing, and leaves batch statistics and training modes alone.
    probe = copy.deepcopy(backbone).to("meta").eval().requires_grad_(True)
    written: dict[str, tuple[Node, int]] = {}

    def record(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and output.grad_fn is not None:
            written[name] = (output.grad_fn, output.numel())

    for name, module in probe.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim >= 2:
            module.register_forward_hook(lambda _module, _inputs, output, name=name: record(name, output))
    with torch.enable_grad():
        last = probe(torch.empty(1, 3, *image_size, device="meta"))[-1]
    upstream = _upstream(last.grad_fn)
    candidates = {name: node for name, (node, numel) in written.items() if node in upstream and numel >= last.numel()}
    return backbone.get_submodule(max(candidates, key=lambda name: len(_upstream(candidates[name]))))


def _upstream(start: Node | None) -> set[Node]:
    """Return the nodes of the autograd graph that lead to `start`, and `start`."""
    found: set[Node] = set()
    waiting = [start]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting.extend(source for source, _ in node.next_functions)
    return found
