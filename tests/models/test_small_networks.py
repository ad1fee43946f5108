"""The networks of Gama & Grassi (2025) and those on vectors: sizes, and what their papers say of them."""

import sys

import pytest
import torch

from equipoise import data, models
from equipoise._core import errors
from equipoise.models.architectures.mpnn import EdgeMessages
from equipoise.tasks import Output

ANSWER = Output(1, dense=False)


def size(parameters) -> int:
    return sum(parameter.numel() for parameter in parameters)


def test_size_of_p2s_lenet():
    model = models.create("lenet", tasks={"CL": Output(10, dense=False), "RR": Output(1)})
    assert size(model.shared_parameters()) == 21_330
    assert size(model.task_parameters("CL")) == 3_060
    assert size(model.task_parameters("RR")) == 214_544


def test_size_of_p2s_network_for_molecules():
    pytest.importorskip("torch_geometric")
    model = models.create("mpnn", tasks=dict.fromkeys(data.tasks("qm9"), ANSWER))
    assert size(model.shared_parameters()) == 616_960
    assert size(model.parameters()) == 616_960 + 11 * 65


def test_size_of_a_mixture_of_experts():
    model = models.create("mmoe", tasks={"a": ANSWER, "b": ANSWER}, inputs=32)
    assert size(model.experts.parameters()) == 25_088
    assert size(model.gates.parameters()) == 264
    assert size(model.parameters()) == 25_482


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_messages_are_those_of_nnconv():
    nn = pytest.importorskip("torch_geometric.nn", exc_type=ImportError)
    graph_data = pytest.importorskip("torch_geometric.data")
    torch.manual_seed(0)
    graphs = []
    for nodes, edges in ((3, [[0, 1], [1, 2], [2, 1], [0, 1]]), (1, []), (5, [[4, 0], [0, 4], [3, 3]])):
        index = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T
        graphs.append(graph_data.Data(x=torch.randn(nodes, 4), edge_index=index, edge_attr=torch.randn(len(edges), 2)))
    batch = graph_data.Batch.from_data_list(graphs)
    ours = EdgeMessages(2, 4, 6)
    network = torch.nn.Sequential(torch.nn.Linear(2, 6), torch.nn.ReLU(), torch.nn.Linear(6, 16))
    theirs = nn.NNConv(4, 4, network, aggr="mean")
    network[0].load_state_dict(ours.hidden.state_dict())
    network[2].load_state_dict(ours.matrices.state_dict())
    theirs.lin.load_state_dict({"weight": ours.root.weight})
    theirs.bias.data.uniform_()
    ours.root.bias.data.copy_(theirs.bias)
    found, expected = ours(batch.x, ours.prepare(batch)), theirs(batch.x, batch.edge_index, batch.edge_attr)
    torch.testing.assert_close(found, expected)
    weights = torch.randn(found.shape)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for mine, other in ((ours.hidden, network[0]), (ours.matrices, network[2])):
        torch.testing.assert_close(mine.weight.grad, other.weight.grad)
        torch.testing.assert_close(mine.bias.grad, other.bias.grad)
    torch.testing.assert_close(ours.root.weight.grad, theirs.lin.weight.grad)


def test_a_gate_mixes_experts_by_the_input():
    torch.manual_seed(0)
    model = models.create("mmoe", tasks={"a": Output(3, dense=False)}, inputs=5, experts=2, expert_widths=(4,))
    vectors = torch.randn(6, 5)
    weight, bias = model.experts.layers[0].weight, model.experts.layers[0].bias
    experts = [(vectors @ weight[index] + bias[index]).relu() for index in range(2)]
    shares = model.gates["a"].score(vectors).softmax(dim=1)
    mixture = shares[:, :1] * experts[0] + shares[:, 1:] * experts[1]
    torch.testing.assert_close(model(vectors).predictions["a"], model.decoders["a"](mixture))


def test_common_experts_of_the_second_level_read_all_experts_of_the_first():
    """Figure 5 of the paper: through the common gate task b hears an expert of task a, but not at the last level."""
    torch.manual_seed(0)
    model = models.create("ple", tasks={"a": ANSWER, "b": ANSWER}, inputs=5, levels=2)
    loss = model(torch.randn(8, 5)).predictions["b"].sum()
    of_a = [level.own["a"].layers[0].weight for level in model.levels]
    first, last = torch.autograd.grad(loss, of_a, allow_unused=True)
    assert first is not None
    assert first.any()
    assert last is None


def test_a_task_with_one_answer_gets_a_pooled_head():
    model = models.create("shared", tasks={"seg": 4, "scene": Output(6, dense=False)}, backbone="test_resnet").eval()
    predictions = model(torch.randn(2, 3, 40, 56)).predictions
    assert {task: tuple(p.shape) for task, p in predictions.items()} == {"seg": (2, 4, 40, 56), "scene": (2, 6)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"architecture": "mmoe"}, "Architecture `mmoe` should be given the option `inputs`"),
        ({"architecture": "mmoe", "inputs": 0}, "`inputs` should be 1 or more"),
        ({"architecture": "ple", "inputs": 4, "levels": 0}, "`levels` should be 1 or more"),
        ({"architecture": "ple", "inputs": 4, "expert_widths": ()}, "`expert_widths` should hold a width"),
        ({"architecture": "mmoe", "inputs": 4, "tasks": {"seg": 3}}, "Found the dense task `seg`"),
        ({"architecture": "mpnn", "tasks": {"seg": 3}}, "Found the dense task `seg`"),
        ({"architecture": "lenet", "size": (12, 28)}, "`size` should be 16 or more"),
        ({"architecture": "lenet", "backbone": "resnet18"}, "a trunk of its own: leave `backbone`"),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.create(**{"tasks": {"a": ANSWER}, **arguments})


def test_inputs_of_another_size_are_named():
    with pytest.raises(ValueError, match=r"`inputs` should be 6, .* Found `inputs = 5`"):
        models.create("mmoe", tasks={"a": ANSWER}, inputs=5)(torch.randn(2, 2, 3))
    with pytest.raises(ValueError, match=r"`size` should be \(32, 32\)"):
        models.create("lenet", tasks={"a": ANSWER})(torch.randn(2, 1, 32, 32))


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    errors.import_extra.cache_clear()
    for module in ("torch_geometric", "torch_geometric.nn"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=r"`mpnn` needs the package `torch_geometric`.*equipoise\[graphs\]"):
        models.create("mpnn", tasks={"a": ANSWER})
