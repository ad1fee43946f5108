"""Backbones: any timm model that gives features, behind one adaptor."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers.format import Format
from torch import Tensor, nn
from torch.autograd.graph import Node

from equipoise.naming import hint


class Backbone(nn.Module):
    """A timm model as a list of features, from fine to coarse.

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
        if not timm.is_model(name):
            question = hint(name, timm.list_models())
            raise ValueError(f"`backbone` should be the name of a timm model. Found {name!r}.{question}")
        if output_stride is not None:
            options = {**options, "output_stride": output_stride}
        try:
            self.network = _build(name, pretrained, options)
        except (TypeError, AssertionError, AttributeError) as error:  # how timm's constructors refuse an option
            given = ", ".join(f"{option} = {value!r}" for option, value in options.items()) or "no options"
            fix = "" if output_stride is None else " Backbones that cannot be dilated need `output_stride = None`."
            reason = str(error) or type(error).__name__
            raise ValueError(f"timm cannot build features of `{name}` with {given} ({reason}).{fix}") from error
        self.name = name
        self.channels: list[int] = self.network.feature_info.channels()
        self.strides: list[int] = self.network.feature_info.reduction()
        size = options.get("img_size", self.network.pretrained_cfg["input_size"][1:])
        self._image_size = (size, size) if isinstance(size, int) else tuple(size)
        self._channels_last = getattr(self.network, "output_fmt", Format.NCHW) == Format.NHWC
        if output_stride is not None and self.strides[-1] != output_stride:
            raise ValueError(
                f"`output_stride` should be a stride that {name} can have. Found `output_stride = {output_stride}`; "
                f"its features have strides {self.strides}."
            )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, H, W] to features [B, channels[i], h, w], each about 1 / strides[i] of the image's size."""
        features = self.network(images)
        return [feature.permute(0, 3, 1, 2) for feature in features] if self._channels_last else features

    def last_layer(self) -> nn.Module:
        """The layer that writes the last feature: a ResNet's last convolution in layer4, a ViT's last MLP output.

        It is found in the autograd graph: of the layers with a weight matrix or kernel whose output leads to the last
        feature and is at least as large (which leaves out gates computed from pooled features), the one with the most
        operations before it (which prefers a residual branch to the projection beside it).
        """
        # A copy without data: nothing is computed, and batch statistics and training modes stay as they are.
        probe = copy.deepcopy(self).to("meta").eval().requires_grad_(True)
        written: dict[str, tuple[Node, int]] = {}

        def record(name: str, output: Any) -> None:
            if isinstance(output, Tensor) and output.grad_fn is not None:
                written[name] = (output.grad_fn, output.numel())

        for name, module in probe.named_modules():
            weight = getattr(module, "weight", None)
            if isinstance(weight, Tensor) and weight.ndim >= 2:
                module.register_forward_hook(lambda _module, _inputs, output, name=name: record(name, output))
        with torch.enable_grad():
            last = probe(torch.empty(1, 3, *self._image_size, device="meta"))[-1]
        upstream = _upstream(last.grad_fn)
        candidates = {
            name: node for name, (node, numel) in written.items() if node in upstream and numel >= last.numel()
        }
        return self.get_submodule(max(candidates, key=lambda name: len(_upstream(candidates[name]))))


def _build(name: str, pretrained: bool | str | Path, options: Mapping[str, Any]) -> Any:
    if pretrained is False:
        return timm.create_model(name, features_only=True, pretrained=False, **options)
    if pretrained is True:
        return _build_with_published_weights(name, options)
    return _build_with_weights(name, Path(pretrained), options)


def _build_with_published_weights(name: str, options: Mapping[str, Any]) -> Any:
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise ValueError(
            f"`pretrained = True` needs weights that timm publishes; `{name}` has none. "
            f"Use `pretrained = False` or a file."
        )
    try:
        return timm.create_model(name, features_only=True, pretrained=True, **options)
    except (TypeError, AssertionError, AttributeError):
        raise
    except Exception as error:  # the hub, its cache, the web client and the disk each have their own
        page = f"https://huggingface.co/{config.hf_hub_id}"
        source = f"model.safetensors from {page}" if config.hf_hub_id else config.url
        raise ValueError(
            f"`pretrained = True` found the weights of `{name}` neither in the cache nor on the network "
            f"({type(error).__name__}). Fetch {source} where there is a network, put the file anywhere on this machine "
            f"and name it: `pretrained: path/to/model.safetensors`."
        ) from error


def _build_with_weights(name: str, path: Path, options: Mapping[str, Any]) -> Any:
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
        network = timm.create_model(
            name, features_only=True, pretrained=True, pretrained_cfg_overlay=overlay, **options
        )
    except RuntimeError as error:
        raise ValueError(f"{expected} They do not fit: {error}") from error
    # A feature extractor that is a network of its own, not one of timm's wrappers (module dictionaries), is loaded
    # loosely by timm.
    if not isinstance(network, nn.ModuleDict):
        missing = [key for key in network.state_dict() if key not in state and not key.endswith("num_batches_tracked")]
        if missing:
            raise ValueError(f"{expected} It lacks {', '.join(missing)}.")
    return network


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
