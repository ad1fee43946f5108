"""TaskPrompter: scores and decoding against the formulas written out, and its size against the original."""

import pytest
import safetensors.torch
import timm
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from equipoise import models
from equipoise.models import Backbone
from equipoise.models.architectures.taskprompter.decoder import CrossTaskReweighting, PromptDecoder
from equipoise.models.architectures.taskprompter.transformer import ChannelPrompts, PromptedTransformer

NYUD = {"seg": 40, "depth": 1, "normals": 3, "edge": 1}
PASCAL = {"seg": 21, "parts": 7, "saliency": 2, "normals": 3, "edge": 1}
SMALL = {"backbone": "test_vit", "embed_dim": 8, "feature_dim": 8, "windows": 2, "levels": 3}


def small(**options) -> models.MultiTaskModel:
    torch.manual_seed(0)
    return models.create("taskprompter", tasks={"seg": 3, "depth": 1}, **SMALL | {"size": (64, 96)} | options)


def transformer(**options) -> PromptedTransformer:
    torch.manual_seed(0)
    options = {"img_size": (64, 96), "dynamic_img_size": False, **options}
    return PromptedTransformer(Backbone("test_vit", **options).network, tasks=2, levels=3, windows=2).eval()


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"init_values": 0.5, "qk_norm": True}], ids=["plain", "scaled and normalised"])
def test_without_channel_prompts_the_blocks_are_those_of_the_backbone(options):
    trunk = transformer(**options)
    for channel_prompts in trunk.channel_prompts[:-1]:
        channel_prompts.back.weight.zero_()
    images = torch.randn(2, 3, 64, 96)
    network = trunk.network
    tokens = torch.cat([trunk.prompts.expand(2, -1, -1), network.patch_embed(images) + network.pos_embed], 1)
    expected = []
    for depth, block in enumerate(network.blocks):
        tokens = block(tokens)
        if depth in (1, 3, 5):
            patches = tokens[:, 2:] if depth < 5 else network.norm(tokens[:, 2:])
            expected.append(patches.transpose(1, 2).unflatten(2, (4, 6)))
    for tap, patches in zip(trunk(images), expected, strict=True):
        torch.testing.assert_close(tap.patches, patches)


@torch.no_grad()
def test_scores_are_plain_products_with_the_normalised_tokens_of_their_block():
    trunk, images = transformer(), torch.randn(2, 3, 64, 96)
    seen, mapped = {}, {}
    trunk.network.blocks[1].norm1.register_forward_hook(lambda _m, _i, output: seen.update(normed=output))
    trunk.channel_prompts[1].forth.register_forward_hook(lambda _m, _i, output: mapped.update(prompts=output))
    tap = trunk(images)[0]
    attention, normed = trunk.network.blocks[1].attn, seen["normed"]
    queries, keys, _ = attention.qkv(normed).chunk(3, -1)
    size = queries.shape[-1] // attention.num_heads
    for head in range(attention.num_heads):
        part = slice(head * size, (head + 1) * size)
        scores = queries[:, :2, part] @ keys[..., part].transpose(1, 2)
        torch.testing.assert_close(tap.pairs[:, head], scores[..., :2])
        for task in range(2):
            torch.testing.assert_close(
                tap.spatial[:, head, 4 * task : 4 * task + 4], scores[:, task, 2:].unflatten(-1, (4, 6))
            )
    torch.testing.assert_close(mapped["prompts"], trunk.channel_prompts[1].forth(normed[:, :2]))
    prompts, patches = (x.reshape(2, -1, 4, 6) for x in (mapped["prompts"], normed[:, 2:].transpose(1, 2)))
    for task in range(2):
        for row in range(2):
            for column in range(2):
                window = (..., slice(2 * row, 2 * row + 2), slice(3 * column, 3 * column + 3))
                expected = (prompts[:, task, None][window] * patches[window]).sum((-1, -2))
                torch.testing.assert_close(tap.channel[:, :, 2 * task + row, column], expected)


@torch.no_grad()
def test_channel_prompts_are_mapped_back_but_in_the_last_block():
    prompts = torch.randn(2, 3, 8)
    channel_prompts = ChannelPrompts(8, (4, 6), 2, last=False)
    mapped, added = channel_prompts(prompts)
    torch.testing.assert_close(mapped, channel_prompts.forth(prompts))
    torch.testing.assert_close(added, channel_prompts.back(mapped))
    assert ChannelPrompts(8, (4, 6), 2, last=True)(prompts)[1] is None


@torch.no_grad()
def test_a_decoder_weighs_channels_by_head_and_patches_by_window():
    torch.manual_seed(0)
    decoder = PromptDecoder(6, 4, 5).eval()
    patches, spatial, channel = torch.randn(2, 6, 4, 6), torch.randn(2, 3, 4, 6), torch.randn(2, 6, 2, 2)
    by_head, by_channel = patches.clone(), patches.clone()
    for c in range(6):
        by_head[:, c] += spatial[:, c // 2] * patches[:, c]
        for y in range(4):
            for x in range(6):
                by_channel[:, c, y, x] += channel[:, c, y // 2, x // 3] * patches[:, c, y, x]
    expected = decoder.fuse(torch.cat([decoder.spatial(by_head), decoder.channel(by_channel)], 1))
    torch.testing.assert_close(decoder(patches, spatial, channel), expected)


@torch.no_grad()
def test_reweighting_adds_all_tasks_with_weights_from_the_scores_of_two_prompts():
    torch.manual_seed(0)
    reweighting = CrossTaskReweighting(1, 1, 4)
    features, pairs = [torch.randn(2, 5, 3, 3) for _ in range(3)], torch.randn(2, 4, 3, 3)
    first, _, last = reweighting.weigh[0]
    expected = 0
    for other, feature in enumerate(features):
        scores = F.gelu(pairs[:, :, 1, other] @ first.weight[:, :, 0, 0].T + first.bias)
        expected = expected + (scores @ last.weight[:, :, 0, 0].T + last.bias)[..., None, None] * feature
    (found,) = reweighting([[feature] for feature in features], [pairs])
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_images_of_another_size_are_resized_and_their_predictions_back():
    model, images = small().eval(), torch.randn(1, 3, 90, 70)
    smaller = F.interpolate(images, (64, 96), mode="bilinear", align_corners=False)
    assert model(images).predictions["seg"].shape == (1, 3, 90, 70)
    for found, expected in zip(model(images).shared, model(smaller).shared, strict=True):
        assert torch.equal(found, expected)


@torch.no_grad()
def test_each_task_reads_what_is_adapted_for_it():
    model, images = small(reweighting=False).eval(), torch.randn(1, 3, 64, 96)
    plain = model(images)
    calls = []

    def other_scores(task: str, shared: list[torch.Tensor]) -> list[torch.Tensor]:
        calls.append((task, len(shared)))
        return [*(2 * tensor for tensor in shared[:3]), *shared[3:]] if task == "seg" else shared

    changed = model(images, other_scores).predictions
    assert calls == [("seg", 9), ("depth", 9)]  # three kinds at three depths
    assert torch.equal(changed["depth"], plain.predictions["depth"])
    assert not torch.allclose(changed["seg"], plain.predictions["seg"])
    assert len(small()(images).shared) == 12  # and the scores of two prompts


def test_weights_are_read_from_a_file_and_fitted_to_the_size(tmp_path):
    torch.manual_seed(1)
    whole = timm.create_model("test_vit")
    safetensors.torch.save_file(whole.state_dict(), tmp_path / "weights.safetensors")
    trunk = small(pretrained=tmp_path / "weights.safetensors").trunk
    torch.testing.assert_close(trunk.network.blocks[5].mlp.fc2.weight, whole.blocks[5].mlp.fc2.weight)
    assert trunk.network.cls_token is None
    assert trunk.network.pos_embed.shape == (1, 4 * 6, 64)
    positions = whole.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (10, 10))
    resampled = F.interpolate(positions, (4, 6), mode="bicubic", antialias=True, align_corners=False)
    torch.testing.assert_close(trunk.network.pos_embed, resampled.flatten(2).transpose(1, 2), rtol=1e-4, atol=1e-5)


def test_wrong_arguments_are_refused():
    with pytest.raises(
        ValueError, match=r"`size` should have sides that are multiples of 64.*Found `size = \(64, 96\)"
    ):
        small(windows=4)
    with pytest.raises(
        ValueError, match=r"`size` should have sides that are multiples of 16.*Found `size = \(60, 96\)"
    ):
        small(windows=1, size=(60, 96))
    with pytest.raises(ValueError, match="`windows` should be 1 or more"):
        small(windows=0)
    with pytest.raises(ValueError, match="`levels` should be from 1 to 6"):
        small(levels=7)
    with pytest.raises(ValueError, match="`backbone` should be a plain vision transformer"):
        small(backbone="swin_tiny_patch4_window7_224")
    with pytest.raises(ValueError, match="img_size"):
        small(backbone="test_resnet")


@pytest.mark.parametrize(
    ("tasks", "backbone", "options", "parameters", "multiplications"),
    [
        (NYUD, "vit_base", {"size": (448, 576), "reweighting": False}, 258_509_421, 581_765_529_600),
        (NYUD, "vit_large", {"size": (448, 576), "reweighting": False}, 513_505_709, 839_674_822_656),
        (PASCAL, "vit_base", {"size": (512, 512), "embed_dim": 780, "feature_dim": 1024}, 418.33e6, 1153e9),
        (
            PASCAL,
            "vit_large",
            {"size": (512, 512), "embed_dim": 300, "feature_dim": 350, "windows": 1},
            401.10e6,
            496.6e9,
        ),
    ],
)
def test_size_is_that_of_the_public_network_without_its_dead_modules(
    tasks, backbone, options, parameters, multiplications
):
    with torch.device("meta"):
        model = models.create("taskprompter", tasks=tasks, backbone=f"{backbone}_patch16_384", **options)
        images = torch.empty(1, 3, *options["size"])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(images)
    width, patches = model.trunk.network.embed_dim, model.trunk.network.patch_embed.num_patches
    dead = (patches + 1) * width + width  # the last block's map back to the prompts, and the class token's position
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(parameters - dead, rel=2e-5)
    assert counter.get_total_flops() / 2 == pytest.approx(multiplications, rel=2e-3)
