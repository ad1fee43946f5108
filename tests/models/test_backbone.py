import re
import socket

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from equipoise.models import Backbone


def dilations(name: str) -> dict[str, int]:
    return {
        key: module.dilation[0]
        for key, module in Backbone(name, output_stride=8).network.named_modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3) and key.startswith(("layer3", "layer4"))
    }


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_output_stride_8_dilates_the_last_two_layers(name):
    found = dilations(name)
    first_of = {layer: next(key for key in found if key.startswith(layer)) for layer in ("layer3", "layer4")}
    for key, dilation in found.items():
        before, after = (1, 2) if key.startswith("layer3") else (2, 4)
        assert dilation == (before if key in first_of.values() else after), key
    backbone = Backbone(name, output_stride=8)
    assert backbone.strides == [2, 4, 8, 8, 8]
    convolutions = [m for m in backbone.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert all(convolution.padding == convolution.dilation for convolution in convolutions)


@pytest.mark.parametrize(
    ("name", "output_stride"), [("test_resnet", None), ("mobilenetv3_small_050", 8), ("test_convnext", 16)]
)
def test_features_are_as_announced(name, output_stride):
    backbone = Backbone(name, output_stride=output_stride)
    features = backbone(torch.randn(2, 3, 64, 96))
    assert [feature.shape[1] for feature in features] == backbone.channels
    sizes = [tuple(feature.shape[-2:]) for feature in features]
    assert sizes == [(64 // stride, 96 // stride) for stride in backbone.strides]
    assert output_stride is None or backbone.strides[-1] == output_stride


def test_features_come_channels_first_where_timm_gives_them_last():
    backbone = Backbone("swin_tiny_patch4_window7_224", depths=(1, 1, 1, 1), embed_dim=24)
    assert [tuple(f.shape[1:]) for f in backbone(torch.randn(1, 3, 224, 224))] == [
        (24, 56, 56),
        (48, 28, 28),
        (96, 14, 14),
        (192, 7, 7),
    ]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "layer4.1.conv2"),
        ("resnet50", "layer4.2.conv3"),
        ("test_resnet", "layer4.0.conv2"),  # not the 1x1 projection that runs beside it
        ("seresnet50", "layer4.2.conv3"),  # not the gate's
        ("vit_tiny_patch16_224", "model.blocks.11.mlp.fc2"),
        ("regnetx_002", "s4.b7.conv3.conv"),
        ("test_convnext", "stages_3.blocks.1.mlp.fc2"),
    ],
)
def test_last_layer(name, layer):
    backbone = Backbone(name)
    assert backbone.last_layer() is backbone.network.get_submodule(layer)


def test_last_layer_of_a_backbone_with_frozen_weights_and_its_own_image_size():
    backbone = Backbone("test_vit", img_size=(64, 96)).requires_grad_(False)
    assert backbone.last_layer() is backbone.network.get_submodule("model.blocks.5.mlp.fc2")
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_random_weights_need_no_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("network traffic")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    Backbone("resnet18", pretrained=False)


def test_published_weights_that_cannot_be_had_say_what_to_do(monkeypatch, tmp_path):
    # No network and an empty cache.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("timm.models._hub.HF_HUB_CACHE", str(tmp_path), raising=False)
    with pytest.raises(ValueError, match=r"huggingface\.co/timm/resnet18.*pretrained: path/to/model\.safetensors"):
        Backbone("resnet18", pretrained=True)


def test_weights_that_nobody_published():
    with pytest.raises(ValueError, match=r"`darknet17` has none. Use `pretrained = False` or a file"):
        Backbone("darknet17", pretrained=True)


def stored(name: str, folder, suffix: str, **changes) -> str:
    """Weights of a whole timm model in a file; a change to None leaves a tensor out."""
    torch.manual_seed(3)
    state = {**timm.create_model(name).state_dict(), **changes}
    state = {key: value for key, value in state.items() if value is not None}
    path = folder / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return str(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("name", ["test_resnet", "mobilenetv3_small_050", "test_vit"])
def test_weights_from_a_file(name, suffix, tmp_path):
    path = stored(name, tmp_path, suffix)
    torch.manual_seed(3)
    whole = timm.create_model(name).state_dict()
    torch.manual_seed(4)
    for key, value in Backbone(name, pretrained=path).network.state_dict().items():
        assert any(value.shape == kept.shape and torch.equal(value, kept) for kept in whole.values()), key


def test_weights_from_a_file_keep_their_places(tmp_path):
    path = stored("test_resnet", tmp_path, ".safetensors")
    torch.manual_seed(3)
    whole = timm.create_model("test_resnet").eval()
    backbone = Backbone("test_resnet", pretrained=path).eval()
    batch = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(backbone(batch)[-1], whole.forward_features(batch))


@pytest.mark.parametrize(
    ("name", "key"), [("test_resnet", "layer4.0.conv2.weight"), ("mobilenetv3_small_050", "blocks.5.0.conv.weight")]
)
def test_weights_that_do_not_fit_are_named(name, key, tmp_path):
    for change in (None, torch.zeros(2, 3)):
        with pytest.raises(ValueError, match=re.escape(key)):
            Backbone(name, pretrained=stored(name, tmp_path, ".safetensors", **{key: change}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet81"}, r"the name of a timm model. Found 'resnet81'. Did you mean `resnet18`\?"),
        ({"name": "test_vit", "output_stride": 8}, r"with output_stride = 8 .* need `output_stride = None`"),
        ({"name": "resnet18", "output_stride": 5}, r"output_stride = 5"),
        ({"name": "resnet18", "no_such_option": 3}, r"with no_such_option = 3"),
        ({"name": "resnet18", "pretrained": "nowhere.pth"}, r"Found `pretrained = 'nowhere.pth'`: no such file"),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        Backbone(**arguments)
