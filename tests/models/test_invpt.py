"""The inverted pyramid: its attention against the formulas written out, and its size against the original."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import equipoise
from equipoise import models
from equipoise.models.architectures.invpt.decoder import CrossTaskAttention, JointNorm, PyramidHead, PyramidStage

NYUD = {"seg": 40, "depth": 1, "normals": 3, "edge": 1}
PASCAL = {"seg": 21, "parts": 7, "saliency": 2, "normals": 3, "edge": 1}
SMALL = {"backbone": "test_vit", "embed_dim": 24, "prediction_dim": 8}


def small(tasks: dict[str, int] | None = None) -> models.MultiTaskModel:
    torch.manual_seed(0)
    return models.create("invpt", tasks=tasks or {"seg": 3, "depth": 1}, **SMALL)


def explicit_scores(attention: CrossTaskAttention, maps: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Scores [B, heads, T, queries, T, keys] and values [B, heads, T, keys, C / heads], one number after another."""
    batch, tasks, width = maps.shape[:3]
    size = width // attention.heads
    asked, means = [], []
    for task, convolve in enumerate(attention.queries.values()):
        asked.append(attention.query(convolve(maps[:, task]).flatten(2).transpose(1, 2)))
        rows, columns = maps.shape[-2] // grid[0], maps.shape[-1] // grid[1]
        means.append(F.avg_pool2d(maps[:, task], (rows, columns)).flatten(2).transpose(1, 2))
    scores = torch.empty(batch, attention.heads, tasks, asked[0].shape[1], tasks, means[0].shape[1])
    values = torch.empty(batch, attention.heads, tasks, means[0].shape[1], size)
    for head in range(attention.heads):
        part = slice(head * size, (head + 1) * size)
        for i in range(tasks):
            values[:, head, i] = attention.value(means[i])[..., part]
            for j in range(tasks):
                keys = attention.key(means[j])[..., part]
                scores[:, head, i, :, j] = torch.einsum("bqc,bkc->bqk", asked[i][..., part], keys) * width**-0.5
    return scores, values


def explicit_output(attention: CrossTaskAttention, scores: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    batch, _, tasks = scores.shape[:3]
    weights = scores.flatten(4).softmax(-1)
    gathered = torch.einsum("bhtqk,bhkc->btqhc", weights, values.flatten(2, 3)).flatten(3)
    maps = attention.project(gathered).transpose(2, 3).unflatten(3, (size[0] // 2, size[1] // 2)).flatten(0, 1)
    return F.interpolate(maps, size, mode="bilinear", align_corners=False).unflatten(0, (batch, tasks))


@torch.no_grad()
def test_attention_is_the_softmax_of_products_over_the_positions_of_all_tasks():
    torch.manual_seed(0)
    attention = CrossTaskAttention(["a", "b", "c"], 8, 2, message=False).eval()
    maps = torch.randn(2, 3, 8, 6, 4)
    found, scores = attention(maps, (3, 2))
    expected, values = explicit_scores(attention, maps, (3, 2))
    torch.testing.assert_close(found, explicit_output(attention, expected, values, (6, 4)))
    # Keys first, then the tasks' maps of queries one below the other.
    by_key = expected.permute(0, 1, 4, 5, 2, 3).flatten(2, 3).unflatten(-1, (3, 2)).flatten(3, 4)
    torch.testing.assert_close(scores, by_key)


@torch.no_grad()
def test_a_message_is_resized_over_the_queries_and_mixed_with_the_scores_by_heads():
    torch.manual_seed(0)
    before = CrossTaskAttention(["a", "b"], 8, 2, message=False).eval()
    attention = CrossTaskAttention(["a", "b"], 4, 2, message=True).eval()
    _, message = before(torch.randn(2, 2, 8, 4, 6), (2, 3))
    maps = torch.randn(2, 2, 4, 8, 12)
    found, _ = attention(maps, (2, 3), message)
    own, values = explicit_scores(attention, maps, (2, 3))
    mixed = torch.empty_like(own)
    weight, bias = attention.mix.weight[:, :, 0, 0], attention.mix.bias
    for task in range(2):
        for key in range(12):
            # [B, heads, 2, 3], the positions that this task asked from in the stage before
            received = message[:, :, key, 2 * task : 2 * task + 2]
            received = F.interpolate(received, (4, 6), mode="bilinear", align_corners=False).flatten(2)
            both = torch.cat([own[:, :, task, :, key // 6, key % 6], received], 1)
            mixed[:, :, task, :, key // 6, key % 6] = torch.einsum("oi,biq->boq", weight, both) + bias[:, None]
    torch.testing.assert_close(found, explicit_output(attention, mixed, values, (8, 12)))


@torch.no_grad()
def test_a_stage_enlarges_adds_the_skip_and_keeps_what_it_had_beside_what_it_gathers():
    torch.manual_seed(0)
    stage = PyramidStage(["a", "b"], 8, 4, 2, first=False).eval()
    for linear in (stage.attention.project, stage.mlp[-1]):
        linear.weight.zero_()
    maps = {task: torch.randn(1, 8, 3, 4) for task in "ab"}
    skips = {task: torch.randn(1, 4, 6, 7) for task in "ab"}
    message = torch.randn(1, 2, 4, 4, 2)
    found, _ = stage(maps, skips, (1, 2), message)
    for task in "ab":
        larger = F.interpolate(maps[task], (6, 7), mode="bilinear", align_corners=False)
        torch.testing.assert_close(found[task], stage.enlarge[task](larger) + skips[task])


@torch.no_grad()
def test_the_head_sums_the_stages_at_twice_the_size_of_the_last():
    torch.manual_seed(0)
    head = PyramidHead([8, 4, 2], 3).eval()
    maps = [torch.randn(1, 8, 2, 3), torch.randn(1, 4, 4, 6), torch.randn(1, 2, 8, 12)]
    total = sum(
        F.interpolate(reduce(m), (16, 24), mode="bilinear", align_corners=False)
        for reduce, m in zip([lambda m: m, *head.reduce[1:]], maps, strict=True)
    )
    torch.testing.assert_close(head(maps), head.predict(total))


def test_the_joint_norm_runs_over_the_channels_of_all_tasks():
    maps = {task: torch.randn(2, 4, 3, 5) * scale for task, scale in (("a", 1.0), ("b", 10.0))}
    found = torch.cat(list(JointNorm(2, 4)(maps).values()), 1)
    torch.testing.assert_close(found.mean(1), torch.zeros(2, 3, 5), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.var(1, correction=0), torch.ones(2, 3, 5), atol=1e-3, rtol=0)


@torch.no_grad()
def test_first_predictions_are_supervised_and_mixed_in():
    model, images = small().eval(), torch.randn(1, 3, 64, 64)
    before = model(images)
    assert {task: [tuple(p.shape) for p in made] for task, made in before.auxiliary.items()} == {
        "seg": [(1, 3, 64, 64)],
        "depth": [(1, 1, 64, 64)],
    }
    model.first_predictions["depth"].bias.add_(1.0)
    after = model(images)
    torch.testing.assert_close(after.auxiliary["depth"][0], before.auxiliary["depth"][0] + 1)
    assert torch.equal(after.auxiliary["seg"][0], before.auxiliary["seg"][0])
    assert not torch.allclose(after.predictions["seg"], before.predictions["seg"])  # tasks attend to each other


@torch.no_grad()
def test_each_task_reads_what_is_adapted_for_it():
    model, images = small().eval(), torch.randn(1, 3, 64, 64)
    plain = model(images).predictions
    copied = model(images, lambda task, shared: [tensor.clone() for tensor in shared]).predictions
    torch.testing.assert_close(copied, plain)
    seen = []

    def other_skips(task: str, shared: list[Tensor]) -> list[Tensor]:
        seen.append((task, len(shared)))
        return [2 * shared[0], 2 * shared[1], shared[2]] if task == "seg" else shared

    changed = model(images, other_skips)
    assert seen == [("seg", 3), ("depth", 3)]
    assert torch.equal(changed.auxiliary["seg"][0], model(images).auxiliary["seg"][0])
    assert not torch.allclose(changed.predictions["seg"], plain["seg"])


def test_wrong_arguments_are_refused():
    tasks = {"seg": 3}
    with pytest.raises(ValueError, match=r"`embed_dim \+ prediction_dim` should be a multiple of 8"):
        models.create("invpt", tasks=tasks, backbone="test_vit", embed_dim=24, prediction_dim=6)
    with pytest.raises(ValueError, match="`backbone` should give three features"):
        models.create("invpt", tasks=tasks, **SMALL, backbone_options={"out_indices": (1, 3)})
    with pytest.raises(ValueError, match=r"`tasks\['digit'\]` should have a label for every pixel"):
        models.create("invpt", tasks={"digit": equipoise.tasks.Output(10, dense=False)}, **SMALL)


@pytest.mark.parametrize(
    ("tasks", "backbone", "size", "parameters", "multiplications"),
    [
        (NYUD, "vit_tiny", (448, 576), 44_328_472, 235_882_248_192),
        (NYUD, "vit_base", (448, 576), 160_823_896, 343_704_153_600),
        (NYUD, "vit_large", (448, 576), 402_092_888, 601_878_406_656),
        (PASCAL, "vit_tiny", (512, 512), 52.21e6, 296.5e9),
        (PASCAL, "vit_base", (512, 512), 176.35e6, 408.3e9),
        (PASCAL, "vit_large", (512, 512), 422.93e6, 672.4e9),
        ({"seg": 40}, "vit_tiny", (448, 576), 20_626_334, 68_111_528_544),
        ({"seg": 40}, "vit_base", (448, 576), 114_225_758, 170_164_512_864),
    ],
)
def test_size_is_that_of_the_public_network_without_its_dead_modules(
    tasks, backbone, size, parameters, multiplications
):
    with torch.device("meta"):
        model = models.create("invpt", tasks=tasks, backbone=f"{backbone}_patch16_384")
        images = torch.empty(1, 3, *size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(images)
    count, channels, width = len(tasks), model.backbone.channels[-1], 576
    dead = count * width * (width + 1) + 10 + (9 * channels + 1) * width + count * width // 2
    patches = size[0] * size[1] // 16**2
    positions = (patches - 24 * 24) * channels  # here they are those of the backbone's own image size, and resampled
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(parameters - dead - positions, rel=2e-4)
    done = counter.get_total_flops() / 2
    assert done == pytest.approx(multiplications - 9 * channels * width * patches, rel=2e-3)
    # As the issue asks, of what the public code has in all.
    assert done == pytest.approx(multiplications, rel=0.03)
