import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from equipoise import models
from equipoise.models.architectures.mti_net import FeaturePropagation
from equipoise.tasks import Output

NYUD = {"seg": 40, "depth": 1, "normals": 3, "edge": 1}
PASCAL = {"seg": 21, "parts": 7, "saliency": 1, "normals": 3, "edge": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tasks", "size", "options", "parameters", "macs"),
    [
        (NYUD, (448, 576), {}, 17_960_945, 23_844_587_904),
        (PASCAL, (512, 512), {}, 24.49e6, 30.3e9),  # only known to four and three figures
        (NYUD, (448, 576), {"backbone": "resnet18"}, 189_039_745, 205_120_849_920),
        (NYUD, (448, 576), {"backbone": "resnet18", "pyramid": 128}, 44_698_497, 182_144_269_824),
        (NYUD, (448, 576), {"backbone": "resnet50", "pyramid": 256}, 157_922_785, 712_290_057_216),
    ],
)
def test_as_large_as_the_public_network(tasks, size, options, parameters, macs):
    with torch.device("meta"):
        model = models.create("mti_net", tasks=tasks, **options).eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 3, *size))
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(parameters, rel=5e-4)
    assert counter.get_total_flops() / 2 == pytest.approx(macs, rel=1e-3)


def scores() -> torch.Tensor:
    return torch.randn(1, 12, 2, 3, generator=torch.Generator().manual_seed(0))  # 3 tasks of 4 channels


def test_attention_compares_the_tasks_at_each_channel():
    mask = FeaturePropagation(3, 4).mask(scores(), 3)
    for channel in range(4):
        of_tasks = [channel, 4 + channel, 8 + channel]
        torch.testing.assert_close(mask[:, of_tasks], scores()[:, of_tasks].softmax(dim=1))


def test_attention_of_the_public_code_compares_neighbouring_channels():
    mask = FeaturePropagation(3, 4, "upstream").mask(scores(), 3)
    for first in range(0, 12, 3):
        torch.testing.assert_close(mask[:, first : first + 3], scores()[:, first : first + 3].softmax(dim=1))


def test_propagation_weighs_what_is_shared_and_adds_the_own():
    torch.manual_seed(0)
    block = FeaturePropagation(2, 32).eval()
    first, second = torch.rand(2, 2, 32, 4, 5)
    together = torch.cat([first, second], dim=1)
    shared = block.share(together * block.mask(block.compare(together), 2))
    for own, weigh, found in zip((first, second), block.weigh, block([first, second]), strict=True):
        inner = (weigh.fc1.weight[:, :, 0, 0] @ shared.mean(dim=(2, 3)).T).T + weigh.fc1.bias
        gate = torch.sigmoid(inner.relu() @ weigh.fc2.weight[:, :, 0, 0].T + weigh.fc2.bias)
        torch.testing.assert_close(found, own + gate[:, :, None, None] * shared)


def test_one_task_compares_nothing():
    block = FeaturePropagation(1, 32).eval()
    assert block.compare is None
    own = torch.rand(2, 32, 4, 5)
    (found,) = block([own])
    shared = block.share(own)
    torch.testing.assert_close(found, own + block.weigh[0](shared))


def test_single_task_counterpart_has_the_same_parts():
    with torch.device("meta"):
        model = models.create("mti_net", tasks={"seg": 40})
    parts = {
        name: sum(parameter.numel() for parameter in module.parameters()) for name, module in model.named_children()
    }
    assert parts["backbone"] == 3_860_720
    assert parts["distillation"] == sum(2 * 9 * width**2 for width in (18, 36, 72, 144))
    assert parts["propagation"] > 0
    assert parts["initial"] + parts["predict_initially"] == pytest.approx(1.14e6, rel=0.02)
    assert parts["decoders"] == 84_550
    assert sum(parameter.numel() for parameter in model.task_parameters("seg")) == sum(parts.values()) - 3_860_720


def test_four_scales_are_supervised_from_fine_to_coarse_and_the_coarser_ones_guide():
    model = models.create("mti_net", tasks={"seg": 3, "depth": 1}, backbone="test_resnet", pyramid=16).eval()
    images = torch.randn(1, 3, 50, 70)
    outputs = model(images)
    assert [tuple(one.shape) for one in outputs.auxiliary["seg"]] == [(1, 3, 50, 70)] * 4
    assert [feature.shape[-1] for feature in outputs.shared] == [18, 9, 5, 3]
    with torch.no_grad():
        for parameter in model.initial["depth/2"].parameters():
            parameter.add_(0.1)
    changed = model(images).auxiliary["seg"]
    told = [not torch.equal(new, old) for new, old in zip(changed, outputs.auxiliary["seg"], strict=True)]
    assert told == [True, True, False, False]  # the finer scales of the other task


def test_last_shared_layers():
    plain = models.create("mti_net", tasks={"depth": 1}, backbone="test_resnet")
    assert plain.last_shared_layer() is plain.backbone.last_layer()
    pyramid = models.create("mti_net", tasks={"depth": 1}, backbone="test_resnet", pyramid=8)
    layer = pyramid.last_shared_layer()
    assert {tuple(parameter.shape) for parameter in layer.parameters()} == {(8, 8, 3, 3), (8,)}
    assert len(list(layer.parameters())) == 2 * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fpm_softmax": "tasks"}, r"`fpm_softmax` should be 'task' or 'upstream'\. Found `fpm_softmax = 'tasks'`"),
        ({"backbone_options": {"out_indices": (3, 4)}}, r"4 features or more\. Found 2 of test_resnet"),
        ({"tasks": {"class": Output(3, dense=False)}}, r"`tasks\['class'\]` should have a label for every pixel"),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    good = {"tasks": {"depth": 1}, "backbone": "test_resnet"}
    with pytest.raises(ValueError, match=message):
        models.create("mti_net", **{**good, **arguments})
