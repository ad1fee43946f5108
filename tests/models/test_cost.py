import pytest
import torch

from equipoise import models
from equipoise.models.cost import cost

SEG = {"seg": 40}
NYUD = {"seg": 40, "depth": 1, "normals": 3, "edge": 1}
PASCAL = {"seg": 21, "parts": 7, "saliency": 1, "normals": 3, "edge": 1}
HRNET = {"backbone": "hrnet_w18_small_v2", "decoder": "concat", "output_stride": None}


def vit(backbone: str, decoder: str) -> dict:
    # The published numbers are of position embeddings for this size.
    return {
        "backbone": backbone,
        "decoder": decoder,
        "output_stride": None,
        "backbone_options": {"img_size": (448, 576)},
    }


# Parameters and multiply-accumulates (448x576 for NYU-v2, 512x512 for PASCAL) measured on the code of others: the
# networks that paper one builds on.
REFERENCE = [
    ("shared", {"backbone": "resnet18"}, SEG, 15_908_968, 65_915_912_192),
    ("shared", {"backbone": "resnet18"}, NYUD, 30_076_781, 121_412_108_288),
    ("shared", {"backbone": "resnet50"}, SEG, 39_643_752, 161_043_120_128),
    ("shared", {"backbone": "resnet50"}, NYUD, 88_021_357, 349_718_036_480),
    ("shared", HRNET, SEG, 3_945_270, 9_548_445_312),
    ("shared", HRNET, NYUD, 4_167_755, 13_097_411_712),
    ("shared", vit("vit_tiny_patch16_224", "plain"), NYUD, 7_018_413, 11_542_574_592),
    ("shared", vit("vit_tiny_patch16_224", "depths"), NYUD, 7_166_637, 31_887_659_520),
    ("shared", vit("vit_base_patch16_224", "plain"), SEG, 91_763_752, 110_440_728_576),
    ("shared", vit("vit_base_patch16_224", "plain"), NYUD, 107_699_757, 126_497_249_280),
    ("shared", vit("vit_base_patch16_224", "depths"), NYUD, 110_062_125, 450_450_966_528),
    ("mtan", {"backbone": "resnet18"}, NYUD, 31_630_637, 134_822_346_752),
    ("mtan", {"backbone": "resnet50"}, NYUD, 112_656_493, 564_281_851_904),
    ("cross_stitch", {"backbone": "resnet18"}, NYUD, 63_621_677, 263_544_946_688),
    ("cross_stitch", {"backbone": "resnet50"}, NYUD, 158_606_893, 644_053_778_432),
    ("nddr", {"backbone": "resnet18"}, NYUD, 69_250_605, 287_855_132_672),
    ("nddr", {"backbone": "resnet50"}, NYUD, 247_771_181, 1_017_162_285_056),
]

# Of these only rounded figures are known: millions, billions.
ROUNDED = [
    ("shared", {"backbone": "resnet18"}, 34.80, 142.1),
    ("shared", {"backbone": "resnet50"}, 104.14, 419.1),
    ("shared", HRNET, 4.24, 14.45),
    ("mtan", {"backbone": "resnet18"}, 36.61, 159.2),
    ("cross_stitch", {"backbone": "resnet18"}, 79.53, 334.6),
    ("nddr", {"backbone": "resnet18"}, 88.32, 373.2),
]


def measured(architecture: str, arguments: dict, tasks: dict[str, int], size: tuple[int, int]):
    with torch.device("meta"):
        return cost(models.create(architecture, tasks=tasks, **arguments), size)


@pytest.mark.parametrize(("architecture", "arguments", "tasks", "parameters", "macs"), REFERENCE)
def test_networks_are_those_of_the_papers(architecture, arguments, tasks, parameters, macs):
    found = measured(architecture, arguments, tasks, (448, 576))
    assert (found.parameters, found.macs) == (parameters, macs)


@pytest.mark.parametrize(("architecture", "arguments", "parameters", "macs"), ROUNDED)
def test_networks_on_pascal_are_those_of_the_papers(architecture, arguments, parameters, macs):
    found = measured(architecture, arguments, PASCAL, (512, 512))
    assert found.parameters / 1e6 == pytest.approx(parameters, abs=0.006)
    assert found.macs / 1e9 == pytest.approx(macs, abs=0.06)


def test_parts_add_up_and_counting_leaves_the_network_as_it_was():
    model = models.create("mtan", tasks=NYUD, backbone="resnet18")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = cost(model, (32, 32))
    assert found.shared + sum(found.tasks.values()) == found.parameters
    assert found.shared == sum(p.numel() for p in model.shared_parameters())
    assert list(found.tasks) == list(NYUD)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_multiply_accumulates_of_a_convolution_are_counted_by_hand():
    few, many = (measured("shared", {"backbone": "resnet18", "decoder": "conv"}, {"a": c}, (64, 64)) for c in (1, 2))
    # One channel more is one 1x1 convolution of 64 channels on the map of stride 8.
    assert many.macs - few.macs == 64 * 8 * 8
