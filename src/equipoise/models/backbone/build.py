"""Building of timm models: the way to read features off a model, and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch

from equipoise._core.text import hint
from equipoise.models.backbone.readers import FAMILIES, Reader

_plans: dict[tuple[str, str], tuple[type[Reader], dict[str, Any]]] = {}
"""Family and full options of a model by its name and given options. Finding them takes as long as building it."""


def build(
    name: str, pretrained: bool | str | Path, output_stride: int | None, options: Mapping[str, Any]
) -> tuple[Any, Reader]:
    """Build a timm model and the reader of its features; the arguments are those of `Backbone`.

    Raises:
        ValueError: timm has no such model, it cannot be built so, or weights are not available or do not fit.
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
    # Only timm's feature extractor knows `out_indices`, not the bare model.
    arguments = {key: value for key, value in options.items() if family.wrapped or key != "out_indices"}
    arguments |= {"features_only": True} if family.wrapped else {"num_classes": 0}
    network = _with_weights(name, pretrained, arguments)
    return network, family(network, options)


def _plan(name: str, options: Mapping[str, Any]) -> tuple[type[Reader], dict[str, Any]]:
    """Return the family of a model, and the options to build it with: where possible, for any image size."""
    probe, options = _build_probe(name, options)
    family = next(family for family in FAMILIES if family.fits(probe))
    return family, family.complete(options)


def _build_probe(name: str, options: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """Return timm's feature extractor, without data, and the options with which it takes any image size."""
    try:
        probe = _without_data(name, options)
    except (TypeError, AssertionError, AttributeError) as error:  # timm's constructors refuse options in these ways
        given = ", ".join(f"{option} = {value!r}" for option, value in options.items()) or "no options"
        fix = " Backbones that cannot be dilated need `output_stride = None`." if "output_stride" in options else ""
        reason = str(error) or type(error).__name__
        raise ValueError(f"timm cannot build features of `{name}` with {given} ({reason}).{fix}") from error
    if any(getattr(module, "strict_img_size", False) for module in probe.modules()):
        # With `always_partition`, attention windows are shifted on maps of any size.
        for more in ({"dynamic_img_size": True, "always_partition": True}, {"dynamic_img_size": True}):
            try:
                return _without_data(name, {**more, **options}), {**more, **options}
            except TypeError:  # the model does not have the option
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
    except Exception as error:  # the hub, its cache, the web client and the disk each raise their own errors
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
    # timm's own loading converts older layouts and resizes position embeddings. It is strict if neither the file nor
    # the model has classes.
    overlay = {"state_dict": state, "num_classes": 0, "label_offset": 0, "source": ""}
    expected = f"`pretrained = {str(path)!r}` should hold the weights of `{name}`."
    try:
        network = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **arguments)
    except RuntimeError as error:
        raise ValueError(f"{expected} They do not fit: {error}") from error
    # timm does not load strictly if the feature extractor is a network of its own, not a wrapper (a module dictionary).
    if "features_only" in arguments and not isinstance(network, torch.nn.ModuleDict):
        missing = [key for key in network.state_dict() if key not in state and not key.endswith("num_batches_tracked")]
        if missing:
            raise ValueError(f"{expected} It lacks {', '.join(missing)}.")
    return network
