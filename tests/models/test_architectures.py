"""Properties of every architecture. A new one adds a line to CASES."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from equipoise import data, models
from equipoise.data import transforms
from equipoise.models import MultiTaskModel
from equipoise.tasks import Output
from equipoise.training import evaluation

FIVE_TASKS = {"seg": 7, "depth": 1, "normals": 3, "edge": 1, "parts": 4}
SMALL = {"width": 16, "dropout": 0.0}
INVERTED = {"embed_dim": 24, "prediction_dim": 8}
SMALL_SWIN = {"embed_dim": 16, "depths": (1, 1, 2, 1), "num_heads": (1, 1, 2, 2), "window_size": 4}
NARROW_RESNET = {"channels": (8, 16, 24, 32), "stem_width": 8}
SMALL_VIT = {"backbone_options": {"embed_dim": 32, "depth": 4, "num_heads": 2}}
SMALL_SAM = {"backbone_options": SMALL_VIT["backbone_options"] | {"window_size": 2, "global_attn_indexes": (1, 3)}}
PROMPTED = {"size": (64, 96), "embed_dim": 16, "feature_dim": 16, "windows": 2, "levels": 3}


def digits(count: int) -> Tensor:
    return torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def vectors(count: int) -> Tensor:
    return torch.randn(count, 12, generator=torch.Generator().manual_seed(1))


def molecules(count: int) -> Any:
    """A batch of complete graphs of 2, 3, 4, ... nodes."""
    graph_data = pytest.importorskip("torch_geometric.data")
    generator = torch.Generator().manual_seed(1)
    graphs = []
    for nodes in range(2, 2 + count):
        edges = (~torch.eye(nodes, dtype=torch.bool)).nonzero().T
        features = (
            torch.randn(length, width, generator=generator) for length, width in ((nodes, 3), (edges.shape[1], 2))
        )
        x, edge_attr = features
        graphs.append(graph_data.Data(x=x, edge_index=edges, edge_attr=edge_attr))
    return graph_data.Batch.from_data_list(graphs)


@dataclass
class Case:
    architecture: str
    backbone: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    # Sides in pixels; the second one is no multiple of anything the network is strided by.
    sizes: tuple[tuple[int, int], ...] = ((64, 96), (50, 71))
    batch: int = 2
    # What the network reads where it is no colour image, and whether it predicts maps.
    inputs: Callable[[int], Any] | None = None
    dense: bool = True


CASES = {
    "shared-resnet-deeplab": Case("shared", "test_resnet", {"decoder_options": SMALL}),
    "shared-resnet-conv": Case("shared", "test_resnet", {"decoder": "conv"}),
    "shared-resnet-concat": Case("shared", "test_resnet", {"decoder": "concat", "output_stride": None}),
    "shared-resnet-pyramid": Case("shared", "test_resnet", {"decoder": "pyramid", "output_stride": None}),
    "shared-mobilenet": Case("shared", "mobilenetv3_small_050", {"decoder": "conv", "output_stride": 16}),
    "shared-efficientnet": Case("shared", "test_efficientnet", {"decoder": "concat"}),
    "shared-convnext": Case("shared", "test_convnext", {"decoder": "concat", "output_stride": None}),
    "shared-vit": Case("shared", "test_vit", {"decoder": "plain", "output_stride": None}),
    "shared-vit-depths": Case("shared", "test_vit", {"decoder": "depths", "output_stride": None}),
    "shared-registers": Case(
        "shared", "vit_base_patch14_reg4_dinov2", {"decoder": "plain", "output_stride": None} | SMALL_VIT
    ),
    "shared-sam": Case("shared", "samvit_base_patch16", {"decoder": "plain", "output_stride": None} | SMALL_SAM),
    "shared-swin": Case(
        "shared",
        "swin_tiny_patch4_window7_224",
        {"decoder": "pyramid", "output_stride": None, "backbone_options": SMALL_SWIN},
    ),
    "shared-hrnet": Case("shared", "hrnet_w18_small", {"decoder": "concat", "output_stride": None}),
    "mtan": Case("mtan", "resnet18", {"decoder": "conv", "backbone_options": NARROW_RESNET}),
    "mtan-pyramid": Case(
        "mtan", "resnet18", {"decoder": "pyramid", "output_stride": None, "backbone_options": NARROW_RESNET}
    ),
    "cross_stitch": Case("cross_stitch", "test_resnet", {"decoder": "conv"}),
    "cross_stitch-pyramid": Case("cross_stitch", "test_convnext", {"decoder": "pyramid", "output_stride": None}),
    "nddr": Case("nddr", "test_resnet", {"decoder": "conv"}),
    "nddr-pyramid": Case("nddr", "test_resnet", {"decoder": "pyramid", "output_stride": None}),
    "invpt-vit": Case("invpt", "test_vit", INVERTED),
    "invpt-swin": Case("invpt", "swin_tiny_patch4_window7_224", INVERTED | {"backbone_options": SMALL_SWIN}),
    "taskprompter": Case("taskprompter", "test_vit", PROMPTED),
    "taskprompter-unmixed": Case("taskprompter", "test_vit", PROMPTED | {"reweighting": False}),
    "pad_net-fused": Case("pad_net", "test_resnet", {"width": 16, "gate": "target"}),
    "pad_net-dilated": Case("pad_net", "test_resnet", {"width": 16, "fuse": False, "output_stride": 8}),
    "mti_net": Case("mti_net", "resnet18", {"backbone_options": NARROW_RESNET}),
    "mti_net-pyramid": Case("mti_net", "test_resnet", {"pyramid": 16, "fpm_softmax": "upstream"}),
    "atrc-label": Case("atrc", "test_resnet", {"width": 16}),
    "atrc-global": Case("atrc", "test_resnet", {"width": 16, "relations": "global"}),
    "atrc-search": Case("atrc", "test_resnet", {"width": 16, "relations": "search"}),
    "lenet": Case("lenet", sizes=((28, 28),), inputs=digits),
    "lenet-classes": Case("lenet", options={"dropout": 0.1}, sizes=((28, 28),), inputs=digits, dense=False),
    "mmoe": Case("mmoe", options={"inputs": 12, "tower_widths": (16,)}, inputs=vectors, dense=False, batch=8),
    "ple": Case("ple", options={"inputs": 12, "own_experts": 2}, inputs=vectors, dense=False, batch=8),
    "ple-one-level": Case("ple", options={"inputs": 12, "levels": 1}, inputs=vectors, dense=False, batch=8),
    "ple-three-levels": Case("ple", options={"inputs": 12, "levels": 3}, inputs=vectors, dense=False, batch=8),
    "mpnn": Case(
        "mpnn",
        options={"node_features": 3, "edge_features": 2, "width": 32, "edge_width": 24},
        inputs=molecules,
        dense=False,
        batch=4,
    ),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def build(case: Case, tasks: dict[str, int] | None = None) -> MultiTaskModel:
    """A network with tasks from scratch, whose residual branches do not start at zero, so that every gradient shows."""
    torch.manual_seed(0)
    outputs = {
        task: Output(channels, dense=case.dense, categories=channels + 1 if case.dense else None)
        for task, channels in (tasks or FIVE_TASKS).items()
    }
    model = models.create(case.architecture, tasks=outputs, backbone=case.backbone, **case.options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine and not module.weight.any():
            nn.init.ones_(module.weight)
    return model


def images(case: Case, size: tuple[int, int] | None = None) -> Any:
    if case.inputs is not None:
        return case.inputs(case.batch)
    return torch.randn(case.batch, 3, *(size or case.sizes[0]), generator=torch.Generator().manual_seed(1))


def task_losses(model: MultiTaskModel, batch: Tensor) -> tuple[dict[str, Tensor], list[Tensor]]:
    """A loss a task, of everything that its outputs hold, and the shared tensors."""
    outputs = model(batch)
    losses = {}
    for task, prediction in outputs.predictions.items():
        maps = [prediction, *outputs.auxiliary.get(task, [])]
        target = torch.randn(prediction.shape, generator=torch.Generator().manual_seed(2))
        resized = [nn.functional.interpolate(m.float(), target.shape[-2:]) if m.ndim == 4 else m.float() for m in maps]
        losses[task] = sum(nn.functional.mse_loss(m, target) for m in resized)
        for logits in outputs.categorical.get(task, []):
            losses[task] = losses[task] + nn.functional.cross_entropy(logits.float(), target[:, 0].gt(0).long())
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
            task: (case.batch, channels, *(size if case.dense else ())) for task, channels in tasks.items()
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
    assert [id(p) for p in model.last_shared_layer().parameters()] == [id(p) for p in layer.parameters()]
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
        one = type(batch).from_data_list(batch[:1]) if case.inputs is molecules else batch[:1]
        first, second, alone = (model(x).predictions for x in (batch, batch, one))
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


@pytest.mark.parametrize("case", [c for c in CASES.values() if c.inputs is None], ids=str)
def test_channels_last_gives_the_same(case):
    model = build(case).eval()
    with torch.no_grad():
        expected = model(images(case)).predictions
        model.to(memory_format=torch.channels_last)
        found = model(images(case).contiguous(memory_format=torch.channels_last)).predictions
    for task in expected:
        torch.testing.assert_close(found[task], expected[task], rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def room_batch(rooms) -> dict[str, Tensor]:
    """Two rooms with labels, enlarged to the size of the first images of the cases."""
    dataset = data.create("rooms", root=rooms, split="train", tasks=["seg", "depth"], transform=transforms.Normalize())
    batch = dataset.collate()([dataset[number] for number in range(2)])
    enlarged = {"image": nn.functional.interpolate(batch["image"], Case.sizes[0], mode="bilinear")}
    for task in ("seg", "depth"):
        labels = batch[task].float().reshape(2, 1, *batch[task].shape[-2:])
        labels = nn.functional.interpolate(labels, Case.sizes[0], mode="nearest").to(batch[task].dtype)
        enlarged[task] = labels.reshape(2, *batch[task].shape[1:-2], *Case.sizes[0])
    return enlarged


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.dense and case.inputs is None])
def test_overfits_two_rooms(name, room_batch):
    case, tasks = CASES[name], data.tasks("rooms", ["seg", "depth"])
    torch.manual_seed(0)
    outputs = {task: kind.output for task, kind in tasks.items()}
    model = models.create(case.architecture, tasks=outputs, backbone=case.backbone, **case.options)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    history: list[dict[str, float]] = []
    while len(history) < 80 and not (history and all(history[-1][t] < 0.5 * history[0][t] for t in tasks)):
        losses = evaluation.task_losses(model(room_batch["image"]), room_batch, tasks)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append({task: loss.item() for task, loss in losses.items()})
    assert all(history[-1][task] < 0.5 * history[0][task] for task in tasks), history


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.inputs is not None])
def test_overfits_a_tiny_batch(name):
    case = CASES[name]
    torch.manual_seed(0)
    tasks = {"seg": Output(3, dense=case.dense), "depth": Output(1, dense=case.dense)}
    model = models.create(case.architecture, tasks=tasks, backbone=case.backbone, **case.options)
    batch = case.inputs(4)
    values = {task: torch.randn(4, channels) for task, channels in model.tasks.items()}
    targets = {
        task: v[..., None, None].expand(-1, -1, *case.sizes[0]) if case.dense else v for task, v in values.items()
    }
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    history = []
    for _ in range(25):
        predictions = model(batch).predictions
        loss = sum(nn.functional.mse_loss(predictions[task], targets[task]) for task in model.tasks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert min(history[-5:]) < 0.25 * history[0], history


# Capturing the graph is what an architecture can spoil; one network goes through the whole, slow compiler.
FIRST = {case.architecture: name for name, case in reversed(CASES.items())}
COMPILED = [(name, "aot_eager") for name in FIRST.values()] + [("shared-resnet-conv", "inductor")]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "backend"), COMPILED)
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the compiler's own curiosity
def test_compiled_network_gives_the_same_and_still_has_shared_tensors(name, backend):
    case = CASES[name]
    model, compiled = (build(case, {"seg": 3, "depth": 1}).eval() for _ in range(2))
    # One size of images: shapes as variables would take the compiler several times as long.
    compiled.compile(backend=backend, dynamic=False)
    batch = images(case)
    expected, found = model(batch), compiled(batch)
    for task in model.tasks:
        torch.testing.assert_close(found.predictions[task], expected.predictions[task], rtol=1e-3, atol=1e-3)
    # All tasks at once: the decoders of some architectures have a graph in common, which one pass uses up.
    eager, graph = (
        torch.autograd.grad(sum(p.square().mean() for p in outputs.predictions.values()), outputs.shared)
        for outputs in (expected, found)
    )
    torch.testing.assert_close(graph, eager, rtol=1e-2, atol=1e-4)
