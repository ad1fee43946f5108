"""Backbones: any timm model that gives features, behind one adaptor."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from equipoise._core.text import hint
from equipoise.models.backbone_readers import FAMILIES, Reader
from equipoise.models.layers import resize

_plans: dict[tuple[str, str], tuple[type[Reader], dict[str, Any]]] = {}
"""What was found out about a model with some options: looking takes as long as building it."""


def build(
    name: str, pretrained: bool | str | Path, output_stride: int | None, options: Mapping[str, Any]
) -> tuple[Any, Reader]:
    """Build a timm model, and what reads features off it; the arguments are those of `Backbone`.

    Raises:
        ValueError: If timm has no such model, it cannot be built so, or weights cannot be had or do not fit.
    """
    if not timm.is_model(name):
        question = hint(name, timm.list_models())
        raise ValueError(f"`backbone` should be the name of a timm model. Found {name!r}.{question}")
    if output_stride is not None:
        options = {**options, "output_stride": output_stride}
    key = name, repr(sorted(options.items()))
    if key not in _plans:
        _plans[key] = _plan(name, options)
    family, options = _plans[key]
    # What only the extractor knows is not for the bare model.
    arguments = {key: value for key, value in options.items() if family.wrapped or key != "out_indices"}
    arguments |= {"features_only": True} if family.wrapped else {"num_classes": 0}
    network = _with_weights(name, pretrained, arguments)
    return network, family(network, options)


def _plan(name: str, options: Mapping[str, Any]) -> tuple[type[Reader], dict[str, Any]]:
    """The family of a model, and the options with which it is built for that: where it can, for any image size."""
    probe, options = _looked_at(name, options)
    family = next(family for family in FAMILIES if family.fits(probe))
    return family, family.complete(options)


def _looked_at(name: str, options: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """The feature extractor that timm builds, without data, and the options with which it takes any image size."""
    try:
        probe = _without_data(name, options)
    except (TypeError, AssertionError, AttributeError) as error:  # how timm's constructors refuse an option
        given = ", ".join(f"{option} = {value!r}" for option, value in options.items()) or "no options"
        fix = " Backbones that cannot be dilated need `output_stride = None`." if "output_stride" in options else ""
        reason = str(error) or type(error).__name__
        raise ValueError(f"timm cannot build features of `{name}` with {given} ({reason}).{fix}") from error
    if any(getattr(module, "strict_img_size", False) for module in probe.modules()):
        # Windows of attention are to be shifted on any map, as on those larger than what timm builds the model for.
        for more in ({"dynamic_img_size": True, "always_partition": True}, {"dynamic_img_size": True}):
            try:
                return _without_data(name, {**more, **options}), {**more, **options}
            except TypeError:  # an option that the model does not have
                continue
    return probe, options


def _without_data(name: str, options: Mapping[str, Any]) -> Any:
    with torch.device("meta"):
        return timm.create_model(name, features_only=True, pretrained=False, **options)


def _with_weights(name: str, pretrained: bool | str | Path, arguments: Mapping[str, Any]) -> Any:
    if pretrained is False:
        return timm.create_model(name, pretrained=False, **arguments)
    if pretrained is True:
        return _with_published_weights(name, arguments)
    return _with_stored_weights(name, Path(pretrained), arguments)


def _with_published_weights(name: str, arguments: Mapping[str, Any]) -> Any:
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise ValueError(
            f"`pretrained = True` needs weights that timm publishes; `{name}` has none. "
            f"Use `pretrained = False` or a file."
        )
    try:
        return timm.create_model(name, pretrained=True, **arguments)
    except Exception as error:  # the hub, its cache, the web client and the disk each have their own
        page = f"https://huggingface.co/{config.hf_hub_id}"
        source = f"model.safetensors from {page}" if config.hf_hub_id else config.url
        raise ValueError(
            f"`pretrained = True` found the weights of `{name}` neither in the cache nor on the network "
            f"({type(error).__name__}). Fetch {source} where there is a network, put the file anywhere on this machine "
            f"and name it: `pretrained: path/to/model.safetensors`."
        ) from error


def _with_stored_weights(name: str, path: Path, arguments: Mapping[str, Any]) -> Any:
    if not path.is_file():
        raise ValueError(
            f"`pretrained` should be true, false or a file. Found `pretrained = {str(path)!r}`: no such file."
        )
    state = timm.models.load_state_dict(str(path))
    config = timm.get_pretrained_cfg(name)
    classifiers = config.classifier if config is not None else None
    for classifier in [classifiers] if isinstance(classifiers, str) else classifiers or ():
        for part in ("weight", "bias"):
            state.pop(f"{classifier}.{part}", None)
    # timm's own loading converts older layouts and resizes position embeddings; it is strict where neither the file
    # nor the model has classes.
    overlay = {"state_dict": state, "num_classes": 0, "label_offset": 0, "source": ""}
    expected = f"`pretrained = {str(path)!r}` should hold the weights of `{name}`."
    try:
        network = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **arguments)
    except RuntimeError as error:
        raise ValueError(f"{expected} They do not fit: {error}") from error
    # A feature extractor that is a network of its own, not one of timm's wrappers (module dictionaries), is loaded
    # loosely by timm.
    if "features_only" in arguments and not isinstance(network, torch.nn.ModuleDict):
        missing = [key for key in network.state_dict() if key not in state and not key.endswith("num_batches_tracked")]
        if missing:
            raise ValueError(f"{expected} It lacks {', '.join(missing)}.")
    return network


def last_layer(backbone: nn.Module, image_size: tuple[int, int]) -> nn.Module:
    """The layer that writes the last of the features that a network makes of images.

    It is found in the autograd graph: of the layers with a weight matrix or kernel whose output leads to the last
    feature and is at least as large (which leaves out gates computed from pooled features), the one with the most
    operations before it (which prefers a residual branch to the projection beside it).

    Args:
        backbone: From images [B, 3, H, W] to a list of features; the layer is one of its modules.
        image_size: (H, W), a size that it takes.
    """
    # A copy without data: nothing is computed, and batch statistics and training modes stay as they are.
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
    """The nodes of the autograd graph that lead to `start`, with itself."""
    found: set[Node] = set()
    waiting = [start]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting.extend(source for source, _ in node.next_functions)
    return found


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
