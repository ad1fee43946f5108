"""Building timm models, with random weights or with weights from the network or from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch

from equipoise.models.backbone_readers import FAMILIES, Reader
from equipoise.naming import hint

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
