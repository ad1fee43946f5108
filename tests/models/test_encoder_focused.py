"""The networks whose tasks meet in the encoder: cross-stitch, NDDR and MTAN."""

import pytest
import torch
from torch import Tensor, nn

import equipoise
from equipoise import balancing, models
from equipoise.models import MultiTaskModel

TASKS = {"seg": 3, "depth": 1}
NARROW = {"channels": (8, 8, 16, 16), "stem_width": 8}
# A pyramid reads the trunks at several stages.
NETWORKS = [("cross_stitch", "conv"), ("cross_stitch", "pyramid"), ("nddr", "pyramid"), ("mtan", "conv")]


def build(architecture: str, decoder: str = "conv", tasks: dict[str, int] = TASKS, **options) -> MultiTaskModel:
    torch.manual_seed(0)
    model = models.create(
        architecture, tasks=tasks, backbone="resnet18", decoder=decoder, backbone_options=NARROW, **options
    )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and not module.weight.any():
            nn.init.ones_(module.weight)
    return model


def forward(model: MultiTaskModel, **arguments) -> tuple[dict[str, Tensor], list[Tensor]]:
    images = torch.randn(2, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    outputs = model(images, **arguments)
    return {task: (p - 1).square().mean() for task, p in outputs.predictions.items()}, outputs.shared


@pytest.mark.parametrize(("architecture", "decoder"), NETWORKS)
def test_the_plain_sum_through_the_shared_tensors_is_that_of_backward(architecture, decoder):
    model, other = (build(architecture, decoder) for _ in range(2))
    losses, shared = forward(model)
    equipoise.Uniform().backward(losses, features=shared, last_layer=model.last_shared_layer())
    losses, _ = forward(other)
    sum(losses.values()).backward()
    for (name, found), expected in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, msg=name)


# One for each thing that a method may look at, and one that turns the features.
METHODS = ["uniform", "avgnorm", "mgda", "graddrop", "pcgrad", "nash_mtl", "rotograd"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("architecture", "decoder"), NETWORKS)
def test_methods_balance_it(architecture, decoder, method):
    model, balancer = build(architecture, decoder), balancing.create(method)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        arguments = {"adapt": balancer.adapt} if method == "rotograd" else {}
        losses, shared = forward(model, **arguments)
        balance = balancer.backward(losses, features=shared, last_layer=model.last_shared_layer())
        optimizer.step()
    assert list(balance.losses) == list(TASKS)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert any(p.grad.any() for p in model.shared_parameters())


@pytest.mark.parametrize(("architecture", "decoder"), NETWORKS)
def test_a_task_reads_what_is_adapted_for_it(architecture, decoder):
    model = build(architecture, decoder).eval()
    asked = []

    def silence(task, shared):
        asked.append((task, len(shared)))
        return [torch.zeros_like(tensor) for tensor in shared] if task == "seg" else shared

    with torch.no_grad():
        images = torch.randn(2, 3, 48, 64)
        plain, adapted = model(images), model(images, silence)
    assert asked == [(task, len(plain.shared)) for task in TASKS]
    assert torch.equal(plain.predictions["depth"], adapted.predictions["depth"])
    # Nothing of the images is left.
    first, second = adapted.predictions["seg"]
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("architecture", ["cross_stitch", "nddr"])
@pytest.mark.parametrize("alpha", [1.0, 0.7])
def test_trunks_start_as_apart_as_asked(architecture, alpha):
    model = build(architecture, alpha=alpha, tasks={"a": 1, "b": 1, "c": 1})
    losses, _ = forward(model)
    layers = [list(layer.parameters()) for layer in model.last_shared_layer().children()]
    gradients = [torch.autograd.grad(losses["a"], layer, retain_graph=True)[0].norm() for layer in layers]
    if alpha == 1:
        assert gradients[0] > 0
        assert gradients[1] == gradients[2] == 0
    else:
        assert gradients[0] > gradients[1] > 0
        assert gradients[2] > 0


def test_cross_stitch_mixes_every_channel_by_weights_that_sum_to_one():
    model = build("cross_stitch", tasks={"a": 1, "b": 1, "c": 1}, alpha=0.8)
    weights = [mixture.weight for mixtures in model.fusions for mixture in mixtures.values()]
    assert sum(weight.numel() for weight in weights) == 3 * 3 * sum(NARROW["channels"])
    for number, weight in enumerate(weights):
        expected = torch.full((3, weight.shape[1]), 0.1)
        expected[number % 3] = 0.8
        torch.testing.assert_close(weight.detach().flatten(1), expected)


def test_the_sum_of_convolutions_is_the_convolution_of_the_concatenation():
    model = build("nddr").eval()
    mixture = model.fusions[2]["depth"]
    for convolution in mixture.convolutions:
        nn.init.normal_(convolution.weight)
    maps = [torch.randn(2, mixture.convolutions[0].in_channels, 5, 7) for _ in TASKS]
    joined = torch.cat([convolution.weight for convolution in mixture.convolutions], dim=1)
    expected = mixture.activate(nn.functional.conv2d(torch.cat(maps, dim=1), joined))
    torch.testing.assert_close(mixture(maps), expected)


@pytest.mark.parametrize("output_stride", [None, 8, 16])
def test_mtan_attends_at_every_layer_whatever_the_stride(output_stride):
    model = build("mtan", output_stride=output_stride)
    _, shared = forward(model)
    strides = model.backbone.strides[1:]
    assert [tuple(s.shape[1:]) for s in shared] == [
        (channels, -(-48 // stride), -(-64 // stride))
        for channels, stride in zip(NARROW["channels"], strides, strict=True)
        for _ in range(2)
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"architecture": "mtan", "backbone": "test_resnet"}, r"at least two blocks in each layer.*'test_resnet'"),
        ({"architecture": "mtan", "backbone": "regnetx_002", "output_stride": None}, r"should be a ResNet"),
        ({"architecture": "cross_stitch", "backbone": "test_vit", "output_stride": None}, r"stage by stage"),
        ({"architecture": "nddr", "backbone": "test_resnet", "alpha": 1.5}, r"Found `alpha = 1\.5`"),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.create(tasks=TASKS, **arguments)
