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


@pytest.mark.parametrize(
    ("name", "channels", "strides", "parameters"),
    [
        ("hrnet_w18_small_v2", [18, 36, 72, 144], [4, 8, 16, 32], 3_860_720),
        ("hrnet_w48", [48, 96, 192, 384], [4, 8, 16, 32], 65_325_120),
        ("resnet18", [64, 64, 128, 256, 512], [2, 4, 8, 16, 32], 11_176_512),
        ("resnet50", [64, 256, 512, 1024, 2048], [2, 4, 8, 16, 32], 23_508_032),
    ],
)
def test_trunks_are_those_of_the_papers(name, channels, strides, parameters):
    with torch.device("meta"):
        backbone = Backbone(name)
        features = backbone(torch.empty(1, 3, 448, 576))
    assert (backbone.channels, backbone.strides) == (channels, strides)
    assert [tuple(f.shape[1:]) for f in features] == [
        (c, 448 // s, 576 // s) for c, s in zip(channels, strides, strict=True)
    ]
    assert sum(parameter.numel() for parameter in backbone.parameters()) == parameters


# Paper one's seven initialisations, and the other transformers of its figures.
TRANSFORMERS = {
    "vit_tiny_patch16_384": (192, 16),
    "vit_large_patch16_384": (1024, 16),
    "vit_base_patch16_384.augreg_in1k": (768, 16),
    "vit_base_patch16_224.augreg_in21k": (768, 16),
    "vit_base_patch16_384.augreg_in21k_ft_in1k": (768, 16),
    "vit_base_patch16_clip_384": (768, 16),
    "samvit_base_patch16": (768, 16),
    "vit_base_patch16_224.dino": (768, 16),
    "vit_base_patch14_reg4_dinov2": (768, 14),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_tokens_of_four_depths_are_maps_of_one_size(name):
    width, patch = TRANSFORMERS[name]
    with torch.device("meta"):
        backbone = Backbone(name)
        features = backbone(torch.empty(2, 3, 448, 576))
    assert (backbone.channels, backbone.strides) == ([width] * 4, [patch] * 4)
    # 576 is no multiple of 14; the nearest one, 574, is what paper one trains on.
    assert [tuple(f.shape) for f in features] == [(2, width, 448 // patch, round(576 / patch))] * 4
    last = len(backbone.network.blocks) - 1
    assert backbone.last_layer() is backbone.network.get_submodule(f"blocks.{last}.mlp.fc2")


def test_tokens_are_taken_where_asked_and_only_the_last_ones_are_normalised():
    torch.manual_seed(0)
    whole = timm.create_model("test_vit").eval()
    torch.manual_seed(0)
    backbone = Backbone("test_vit", out_indices=(1, 5)).eval()
    backbone.network.load_state_dict(whole.state_dict(), strict=False)
    images = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        tokens = whole.patch_embed(images).flatten(1, 2)
        tokens = torch.cat([whole.cls_token.expand(2, -1, -1), tokens], 1) + whole.pos_embed
        taken = []
        for block in whole.blocks:
            tokens = block(tokens)
            taken.append(tokens)
        early, late = backbone(images)
    torch.testing.assert_close(early.flatten(2).mT, taken[1][:, 1:])
    torch.testing.assert_close(late.flatten(2).mT, whole.norm(taken[5])[:, 1:])


def test_blocks_that_no_feature_needs_are_left_out():
    backbone = Backbone("test_vit", out_indices=(0, 2))
    assert len(backbone.network.blocks) == 3
    assert not list(backbone.network.norm.parameters())
    assert backbone.last_layer() is backbone.network.get_submodule("blocks.2.mlp.fc2")


SMALL_SWIN = {"depths": (1, 1, 1, 1), "embed_dim": 24}


@pytest.mark.parametrize(
    ("name", "options"),
    [("hrnet_w18_small", {}), ("test_vit", {}), ("swin_tiny_patch4_window7_224", SMALL_SWIN), ("resnet18", {})],
)
@pytest.mark.parametrize("size", [(50, 71), (7, 130), (96, 96)])
def test_any_image_size(name, options, size):
    backbone = Backbone(name, **options).eval()
    images = torch.randn(1, 3, *size)
    with torch.no_grad():
        features = backbone(images)
    multiple = {"hrnet_w18_small": 32, "test_vit": 16, "swin_tiny_patch4_window7_224": 4, "resnet18": 1}[name]
    sides = [max(1, (side + multiple // 2) // multiple) * multiple for side in size]
    for feature, channels, stride in zip(features, backbone.channels, backbone.strides, strict=True):
        assert tuple(feature.shape) == (1, channels, *(-(-side // stride) for side in sides))
        assert feature.isfinite().all()


def test_images_of_multiples_are_not_resampled():
    backbone = Backbone("hrnet_w18_small").eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        for expected, found in zip(backbone.network(images), backbone(images), strict=True):
            assert torch.equal(expected, found)


def test_networks_for_one_image_size_say_how_to_build_them():
    with torch.device("meta"):
        backbone = Backbone("beit_base_patch16_224")
        with pytest.raises(ValueError, match=r"Found \(64, 96\).* with `img_size = \(64, 96\)`"):
            backbone(torch.empty(1, 3, 64, 96))
        fitting = Backbone("beit_base_patch16_224", img_size=(64, 96))
        assert fitting(torch.empty(1, 3, 64, 96))[-1].shape == (1, 768, 4, 6)


def test_the_last_layers_of_an_hrnet_are_those_that_fuse_its_branches():
    backbone = Backbone("hrnet_w18_small_v2")
    layer = backbone.last_layer()
    assert layer is backbone.network.get_submodule("stage4.1.fuse_layers")
    assert sum(parameter.numel() for parameter in layer.parameters()) == 249_012
    assert sum(isinstance(module, nn.Conv2d) for module in layer.modules()) == 16


@pytest.mark.parametrize(
    ("name", "options"),
    [("resnet18", {"output_stride": 8}), ("test_convnext", {}), ("swin_tiny_patch4_window7_224", SMALL_SWIN)],
)
def test_stages_run_one_by_one(name, options):
    backbone = Backbone(name, **options).eval()
    maps = images = torch.randn(1, 3, 50, 70)
    ran = []
    with torch.no_grad():
        for number in range(len(backbone.stages())):
            maps = backbone.stage(number, maps)
            ran.append(maps)
        features = backbone(images)
    assert [m.shape[1] for m in ran] == backbone.channels
    # The stem of a ResNet has its pooling, which the first feature has not.
    for staged, feature in list(zip(ran, features, strict=True))[1:]:
        assert torch.equal(staged, feature)


@pytest.mark.parametrize("name", ["test_vit", "hrnet_w18_small", "test_efficientnet"])
def test_networks_that_are_no_chain_have_no_stages(name):
    with torch.device("meta"), pytest.raises(ValueError, match=f"Found `backbone = '{name}'`.* Use a ResNet"):
        Backbone(name).stages()


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
        ("vit_tiny_patch16_224", "blocks.11.mlp.fc2"),
        ("regnetx_002", "s4.b7.conv3.conv"),
        ("test_convnext", "stages_3.blocks.1.mlp.fc2"),
    ],
)
def test_last_layer(name, layer):
    backbone = Backbone(name)
    assert backbone.last_layer() is backbone.network.get_submodule(layer)


def test_last_layer_of_a_backbone_with_frozen_weights_and_its_own_image_size():
    backbone = Backbone("test_vit", img_size=(64, 96)).requires_grad_(False)
    assert backbone.last_layer() is backbone.network.get_submodule("blocks.5.mlp.fc2")
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
@pytest.mark.parametrize("name", ["test_resnet", "mobilenetv3_small_050", "test_vit", "hrnet_w18_small"])
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
    ("name", "key"),
    [
        ("test_resnet", "layer4.0.conv2.weight"),
        ("mobilenetv3_small_050", "blocks.5.0.conv.weight"),
        ("test_vit", "blocks.5.mlp.fc2.weight"),
        ("hrnet_w18_small", "stage4.0.fuse_layers.0.1.0.weight"),
    ],
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
        ({"name": "hrnet_w18_small", "output_stride": 8}, r"need `output_stride = None`"),
        ({"name": "resnet18", "output_stride": 5}, r"output_stride = 5"),
        ({"name": "resnet18", "no_such_option": 3}, r"with no_such_option = 3"),
        ({"name": "resnet18", "pretrained": "nowhere.pth"}, r"Found `pretrained = 'nowhere.pth'`: no such file"),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        Backbone(**arguments)
