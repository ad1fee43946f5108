"""What every architecture must do. A new one adds a line to CASES."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from equipoise import models
from equipoise.models import MultiTaskModel

FIVE_TASKS = {"seg": 7, "depth": 1, "normals": 3, "edge": 1, "parts": 4}
SMALL = {"width": 16, "dropout": 0.0}


@dataclass
class Case:
    architecture: str
    backbone: str
    options: dict[str, Any] = field(default_factory=dict)
    # Sides in pixels; the second one is no multiple of anything the network is strided by.
    sizes: tuple[tuple[int, int], ...] = ((64, 96), (50, 71))
    batch: int = 2


CASES = {
    "shared-resnet-deeplab": Case("shared", "test_resnet", {"decoder_options": SMALL}),
    "shared-resnet-conv": Case("shared", "test_resnet", {"decoder": "conv"}),
    "shared-resnet-concat": Case("shared", "test_resnet", {"decoder": "concat", "output_stride": None}),
    "shared-resnet-pyramid": Case("shared", "test_resnet", {"decoder": "pyramid", "output_stride": None}),
    "shared-resnet18": Case("shared", "resnet18", {"decoder": "conv"}),
    "shared-mobilenet": Case("shared", "mobilenetv3_small_050", {"decoder": "conv", "output_stride": 16}),
    "shared-efficientnet": Case("shared", "test_efficientnet", {"decoder": "concat"}),
    "shared-regnet": Case("shared", "regnetx_002", {"decoder": "conv", "output_stride": None}),
    "shared-convnext": Case("shared", "test_convnext", {"decoder": "concat", "output_stride": None}),
    "shared-vit": Case(
        "shared",
        "test_vit",
        {
            "decoder": "conv",
            "output_stride": None,
            "backbone_options": {"dynamic_img_size": True, "dynamic_img_pad": True},
        },
    ),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def build(case: Case, tasks: dict[str, int] | None = None) -> MultiTaskModel:
    """A network with tasks from scratch, whose residual branches do not start at zero, so that every gradient shows."""
    torch.manual_seed(0)
    model = models.create(case.architecture, tasks=tasks or FIVE_TASKS, backbone=case.backbone, **case.options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and not module.weight.any():
            nn.init.ones_(module.weight)
    return model


def images(case: Case, size: tuple[int, int] | None = None) -> Tensor:
    return torch.randn(case.batch, 3, *(size or case.sizes[0]), generator=torch.Generator().manual_seed(1))


def task_losses(model: MultiTaskModel, batch: Tensor) -> tuple[dict[str, Tensor], list[Tensor]]:
    """A loss a task, of everything that its outputs hold, and the shared tensors."""
    outputs = model(batch)
    losses = {}
    for task, prediction in outputs.predictions.items():
        maps = [prediction, *outputs.auxiliary.get(task, [])]
        target = torch.randn(prediction.shape, generator=torch.Generator().manual_seed(2))
        resized = [nn.functional.interpolate(m.float(), target.shape[-2:]) for m in maps]
        losses[task] = sum(nn.functional.mse_loss(m, target) for m in resized)
    return losses, outputs.shared


def test_every_architecture_has_a_case():
    assert {case.architecture for case in CASES.values()} == set(models.available())


@pytest.mark.parametrize("tasks", [{"depth": 1}, FIVE_TASKS], ids=["one task", "five tasks"])
def test_predictions_have_the_size_of_the_images_and_every_parameter_learns(case, tasks):
    for size in case.sizes:
        model = build(case, tasks)
        batch = images(case, size)
        predictions = model(batch).predictions
        assert {task: tuple(p.shape) for task, p in predictions.items()} == {
            task: (case.batch, channels, *size) for task, channels in tasks.items()
        }
        losses, _ = task_losses(model, batch)
        sum(losses.values()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name


def test_each_parameter_is_shared_or_of_one_task(case):
    model = build(case)
    parts = [list(model.shared_parameters()), *(list(model.task_parameters(task)) for task in model.tasks)]
    counted = [id(parameter) for part in parts for parameter in part]
    assert len(counted) == len(set(counted))
    assert set(counted) == {id(parameter) for parameter in model.parameters()}


def test_the_loss_of_a_task_reaches_its_own_parameters_and_no_other_task(case):
    model = build(case)
    losses, _ = task_losses(model, images(case))
    for task, loss in losses.items():
        for other in model.tasks:
            parameters = list(model.task_parameters(other))
            gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            assert all((gradient is not None) == (other == task) for gradient in gradients), (task, other)


def test_shared_tensors_cut_the_graph(case):
    model = build(case)
    losses, shared = task_losses(model, images(case))
    own = [parameter for task in model.tasks for parameter in model.task_parameters(task)]
    for i, feature in enumerate(shared):
        others = [other for j, other in enumerate(shared) if j != i]
        gradients = torch.autograd.grad(feature.sum(), own + others, retain_graph=True, allow_unused=True)
        assert all(gradient is None for gradient in gradients)

    # What a loss asks of the shared tensors, carried on into the trunk, is the loss's whole gradient there.
    trunk = list(model.shared_parameters())
    reached = torch.autograd.grad(sum(feature.sum() for feature in shared), trunk, retain_graph=True, allow_unused=True)
    trunk = [parameter for parameter, gradient in zip(trunk, reached, strict=True) if gradient is not None]
    loss = sum(losses.values())
    asked = torch.autograd.grad(loss, shared, retain_graph=True)
    through = torch.autograd.grad(shared, trunk, asked, retain_graph=True)
    for expected, found in zip(torch.autograd.grad(loss, trunk), through, strict=True):
        torch.testing.assert_close(found, expected)


def test_last_shared_layer_hears_every_task(case):
    model = build(case)
    layer = list(model.last_shared_layer().parameters())
    shared = {id(parameter) for parameter in model.shared_parameters()}
    assert layer
    assert all(id(parameter) in shared for parameter in layer)
    losses, _ = task_losses(model, images(case))
    for task, loss in losses.items():
        gradients = torch.autograd.grad(loss, layer, retain_graph=True)
        assert all(gradient.any() for gradient in gradients), task


def test_looking_for_the_last_shared_layer_changes_nothing(case):
    model = build(case)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    layer = model.last_shared_layer()
    assert model.last_shared_layer() is layer
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_state_survives_a_round_trip(case):
    model, other = build(case).eval(), build(case).eval()
    for parameter in other.parameters():
        nn.init.normal_(parameter)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        expected, found = model(images(case)).predictions, other(images(case)).predictions
    assert all(torch.equal(found[task], expected[task]) for task in expected)


def test_evaluation_is_deterministic_and_looks_at_one_image_at_a_time(case):
    model = build(case).eval()
    batch = images(case)
    with torch.no_grad():
        first, second, alone = (model(x).predictions for x in (batch, batch, batch[:1]))
    for task in model.tasks:
        assert torch.equal(first[task], second[task])
        torch.testing.assert_close(alone[task], first[task][:1], rtol=1e-4, atol=1e-4)


def test_bfloat16_autocast(case):
    model = build(case).eval()
    with torch.no_grad():
        exact = model(images(case)).predictions
    model.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses, _ = task_losses(model, images(case))
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    model = build(case).eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = model(images(case)).predictions
    for task in exact:
        assert (rounded[task] - exact[task]).abs().mean() < 0.05 * exact[task].abs().mean() + 0.02, task


def test_channels_last_gives_the_same(case):
    model = build(case).eval()
    with torch.no_grad():
        expected = model(images(case)).predictions
        model.to(memory_format=torch.channels_last)
        found = model(images(case).contiguous(memory_format=torch.channels_last)).predictions
    for task in expected:
        torch.testing.assert_close(found[task], expected[task], rtol=1e-3, atol=1e-3)


def test_overfits_a_tiny_batch(case):
    torch.manual_seed(0)
    model = models.create(case.architecture, tasks={"seg": 3, "depth": 1}, backbone=case.backbone, **case.options)
    batch = torch.randn(4, 3, 64, 64)
    targets = {task: torch.randn(4, channels, 1, 1).expand(-1, -1, 64, 64) for task, channels in model.tasks.items()}
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    history = []
    for _ in range(25):
        outputs = model(batch)
        loss = sum(
            nn.functional.mse_loss(nn.functional.interpolate(prediction, (64, 64)), targets[task])
            for task in model.tasks
            for prediction in [outputs.predictions[task], *outputs.auxiliary.get(task, [])]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert min(history[-5:]) < 0.25 * history[0], history


# Capturing the graph is what an architecture can spoil; one network goes through the whole, slow compiler.
COMPILED = [(name, "aot_eager") for name in CASES] + [("shared-resnet-conv", "inductor")]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "backend"), COMPILED)
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the compiler's own curiosity
def test_compiled_network_gives_the_same_and_still_has_shared_tensors(name, backend):
    case = CASES[name]
    model, compiled = build(case).eval(), build(case).eval()
    compiled.compile(backend=backend)
    batch = images(case)
    expected, found = model(batch), compiled(batch)
    for task in model.tasks:
        torch.testing.assert_close(found.predictions[task], expected.predictions[task], rtol=1e-3, atol=1e-3)
    for task in model.tasks:
        eager = torch.autograd.grad(expected.predictions[task].square().mean(), expected.shared)
        graph = torch.autograd.grad(found.predictions[task].square().mean(), found.shared)
        torch.testing.assert_close(graph, eager, rtol=1e-2, atol=1e-4)
