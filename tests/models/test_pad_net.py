import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from equipoise import models
from equipoise.models.architectures.pad_net import Distillation

NYUD = {"seg": 40, "depth": 1, "normals": 3, "edge": 1}
PASCAL = {"seg": 21, "parts": 7, "saliency": 1, "normals": 3, "edge": 1}
DILATED = {"fuse": False, "output_stride": 8}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tasks", "size", "options", "parameters", "macs"),
    [
        (NYUD, (448, 576), {}, 19_521_848, 260_535_477_888),
        (PASCAL, (512, 512), {}, 29.30e6, 424.9e9),  # only known to four figures
        (NYUD, (448, 576), {"backbone": "resnet18", **DILATED}, 27_073_690, 111_416_868_864),
        (NYUD, (448, 576), {"backbone": "resnet50", **DILATED}, 41_371_290, 170_078_404_608),
    ],
)
def test_as_large_as_the_public_network(tasks, size, options, parameters, macs):
    with torch.device("meta"):
        model = models.create("pad_net", tasks=tasks, **options).eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 3, *size))
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(parameters, rel=5e-4)
    assert counter.get_total_flops() / 2 == pytest.approx(macs, rel=5e-4)


def test_the_papers_gate_needs_one_gate_a_task():
    sizes = {}
    for gate in ("source", "target"):
        with torch.device("meta"):
            model = models.create("pad_net", tasks=NYUD, gate=gate)
        sizes[gate] = sum(parameter.numel() for parameter in model.parameters())
    assert sizes["source"] - sizes["target"] == 4 * 2 * 256 * 256 * 9


def features(count: int) -> list[torch.Tensor]:
    return list(torch.randn(count, 2, 5, 4, 6, generator=torch.Generator().manual_seed(0)))


def conv(layer: torch.nn.Module, maps: torch.Tensor) -> torch.Tensor:
    (kernel,) = layer.parameters()
    return F.conv2d(maps, kernel, padding=1)


def test_messages_are_gated_by_their_source():
    block = Distillation(5, 2)
    target, first, second = features(3)
    expected = target.clone()
    for number, source in enumerate((first, second)):
        expected += torch.sigmoid(conv(block.gates[number], source)) * conv(block.messages[number], source)
    torch.testing.assert_close(block(target, [first, second]), expected)


def test_messages_are_gated_by_their_target():
    block = Distillation(5, 2, gate="target")
    target, first, second = features(3)
    messages = conv(block.messages[0], first) + conv(block.messages[1], second)
    expected = target + torch.sigmoid(conv(block.gates[0], target)) * messages
    torch.testing.assert_close(block(target, [first, second]), expected)


@pytest.mark.parametrize("gate", ["source", "target"])
def test_a_task_on_its_own_takes_over_from_itself(gate):
    block = Distillation(5, 0, gate=gate)
    (target,) = features(1)
    expected = target + torch.sigmoid(conv(block.gates[0], target)) * conv(block.messages[0], target)
    torch.testing.assert_close(block(target, []), expected)


def test_first_predictions_are_made_before_tasks_meet():
    model = models.create("pad_net", tasks={"seg": 3, "depth": 1}, backbone="test_resnet", width=8).eval()
    images = torch.randn(1, 3, 50, 70)
    outputs = model(images)
    assert {task: [tuple(one.shape) for one in found] for task, found in outputs.auxiliary.items()} == {
        "seg": [(1, 3, 50, 70)],
        "depth": [(1, 1, 50, 70)],
    }
    with torch.no_grad():
        for parameter in model.initial["depth"].parameters():
            parameter.add_(0.1)
    changed = model(images)
    assert torch.equal(changed.auxiliary["seg"][0], outputs.auxiliary["seg"][0])
    assert not torch.allclose(changed.predictions["seg"], outputs.predictions["seg"])


def test_last_shared_layer_is_the_convolution_that_fuses():
    fused = models.create("pad_net", tasks={"depth": 1}, backbone="test_resnet", width=8)
    assert fused.last_shared_layer() is fused.fuse[0]
    plain = models.create("pad_net", tasks={"depth": 1}, backbone="test_resnet", width=8, fuse=False)
    assert plain.last_shared_layer() is plain.backbone.last_layer()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gate": "traget"}, r"`gate` should be 'source' or 'target'\. Found `gate = 'traget'`"),
        ({"width": 10}, r"multiple of 4\. Found 10"),
    ],
)
def test_errors_say_what_to_do(options, message):
    with pytest.raises(ValueError, match=message):
        models.create("pad_net", tasks={"depth": 1}, backbone="test_resnet", **options)
