import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from equipoise import models
from equipoise.models.architectures.atrc.choice import Choice
from equipoise.models.architectures.atrc.contexts import (
    Context,
    GlobalContext,
    LocalContext,
    Refinement,
    SourceLabelContext,
    TargetLabelContext,
)
from equipoise.models.architectures.atrc.relations import candidates
from equipoise.tasks import Output

NYUD = {
    "seg": Output(40, categories=40),
    "depth": Output(1, categories=40),
    "normals": Output(3, categories=40),
    "edge": Output(1, categories=2),
}
PASCAL = {
    "seg": Output(21, categories=21),
    "parts": Output(7, categories=7),
    "saliency": Output(1, categories=2),
    "normals": Output(3, categories=40),
    "edge": Output(1, categories=2),
}
TWO = {"seg": Output(3, categories=3), "depth": Output(1, categories=5)}
SMALL = {"backbone": "test_resnet", "width": 8}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tasks", "size", "parameters", "macs"), [(NYUD, (448, 576), 5.06e6, 26.9e9), (PASCAL, (512, 512), 5.38e6, 31.7e9)]
)
def test_as_large_as_the_public_network(tasks, size, parameters, macs):
    # Whose relations were found by a search: what contexts cost depends on their kinds, if little.
    with torch.device("meta"):
        model = models.create("atrc", tasks=tasks).eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 3, *size))
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(parameters, rel=0.01)
    assert counter.get_total_flops() / 2 == pytest.approx(macs, rel=0.03)


def context(kind: type[Context]) -> Context:
    torch.manual_seed(0)
    return kind(6, 4).eval()


def maps(seed: int, height: int = 5, width: int = 7) -> torch.Tensor:
    return torch.randn(2, 6, height, width, generator=torch.Generator().manual_seed(seed))


def test_global_context_is_linear_attention_over_all_pixels():
    block, target, source = context(GlobalContext), maps(1), maps(2)
    query, key = F.softplus(block.query(target)).flatten(2), F.softplus(block.key(source)).flatten(2)
    weights = torch.einsum("bdp,bds->bps", query, key)
    weights = weights / weights.sum(dim=2, keepdim=True)
    expected = torch.einsum("bps,bds->bdp", weights, block.value(source).flatten(2)).reshape(2, 4, 5, 7)
    torch.testing.assert_close(block(target, source, None, None), expected)


def test_global_context_of_many_pixels_fits_into_half_precision():
    block, source = context(GlobalContext), maps(2, 200, 200)
    exact = block(source, source, None, None)
    rounded = block.half()(source.half(), source.half(), None, None)
    assert rounded.isfinite().all()
    torch.testing.assert_close(rounded.float(), exact, atol=0.02, rtol=0.02)


def test_local_context_is_attention_over_the_pixels_of_the_image_around_each():
    block, target, source = context(LocalContext), maps(1, 6, 12), maps(2, 6, 12)
    query, key, value = F.relu(block.query(target)), F.relu(block.key(source)), block.value(source)
    expected = torch.zeros(2, 4, 6, 12)
    for row in range(6):
        for column in range(12):
            rows, columns = slice(max(0, row - 4), row + 5), slice(max(0, column - 4), column + 5)
            scores = torch.einsum("bd,bdn->bn", query[:, :, row, column], key[:, :, rows, columns].flatten(2)) / 2
            expected[:, :, row, column] = torch.einsum(
                "bn,bdn->bd", scores.softmax(dim=1), value[:, :, rows, columns].flatten(2)
            )
    torch.testing.assert_close(block(target, source, None, None), expected)


def test_local_context_keeps_no_copies_of_its_windows():
    block, features = context(LocalContext), maps(1, 40, 40).requires_grad_()
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        block(features, features, None, None)
    a_map = 2 * 4 * 40 * 40 * 4
    assert sum(kept.values()) < 81 * a_map  # half of what the windows of keys and values would be


@pytest.mark.parametrize(("kind", "of"), [(TargetLabelContext, "target"), (SourceLabelContext, "source")])
def test_label_contexts_are_attention_over_the_means_of_categories(kind, of):
    block, target, source = context(kind), maps(1), maps(2)
    labels = torch.randn(2, 3, 35, generator=torch.Generator().manual_seed(3)).softmax(dim=2)
    centres = torch.stack([(source.flatten(2) * labels[:, n : n + 1]).sum(dim=2) for n in range(3)], dim=2)
    key, value = F.relu(block.key(centres.unsqueeze(3))).flatten(2), block.value(centres.unsqueeze(3)).flatten(2)
    query = F.relu(block.query(target)).flatten(2)
    weights = (torch.einsum("bdp,bdn->bpn", query, key) / math.sqrt(4)).softmax(dim=2)
    expected = torch.einsum("bpn,bdn->bdp", weights, value).reshape(2, 4, 5, 7)
    given = (labels, None) if of == "target" else (None, labels)
    torch.testing.assert_close(block(target, source, *given), expected)
    with pytest.raises(ValueError, match=rf"needs the label map of the {of}"):
        block(target, source, *reversed(given))


def test_refinement_starts_without_contexts():
    torch.manual_seed(0)
    block = Refinement("a", {"b": GlobalContext(6, 4)}, 6, 4).eval()
    first = block({"a": maps(1), "b": maps(2)}, {})
    torch.testing.assert_close(block({"a": maps(1), "b": maps(3)}, {}), first)
    nn.init.ones_(block.project[1].weight)
    assert not torch.allclose(block({"a": maps(1), "b": maps(3)}, {}), block({"a": maps(1), "b": maps(2)}, {}))
    alone = Refinement("a", {}, 6, 4).eval()
    torch.testing.assert_close(alone({"a": maps(1)}, {}), alone.join(maps(1)))


def test_rules_fill_the_table():
    outputs = {"seg": Output(3, categories=3), "flow": Output(2)}
    assert candidates("label", outputs) == {
        "seg": {"seg": ("target_label",), "flow": ("target_label",)},
        "flow": {"seg": ("source_label",), "flow": ("global",)},
    }
    assert candidates("search", outputs) == {
        "seg": {"seg": ("global", "local", "target_label"), "flow": ("global", "local", "target_label")},
        "flow": {"seg": ("global", "local", "source_label"), "flow": ("global", "local")},
    }
    table = {"seg": {"flow": "local", "seg": "none"}}
    assert candidates(table, outputs) == {"seg": {"seg": (), "flow": ("local",)}, "flow": {"seg": (), "flow": ()}}


def test_a_table_is_built_and_read_back():
    table = {"seg": {"seg": "global", "depth": "source_label"}, "depth": {"seg": "local", "depth": "none"}}
    model = models.create("atrc", tasks=TWO, relations=table, **SMALL)
    assert model.relations() == table
    assert set(model.labels) == {"depth"}
    outputs = model(torch.randn(2, 3, 50, 70))
    assert {task: [tuple(one.shape) for one in found] for task, found in outputs.categorical.items()} == {
        "depth": [(2, 5, 50, 70)]
    }
    assert outputs.auxiliary == {}


def test_whose_features_and_labels_are_read_belong_to_no_task():
    table = {"seg": {"seg": "target_label", "depth": "source_label"}, "depth": {"depth": "global"}}
    model = models.create("atrc", tasks=TWO, relations=table, **SMALL)
    own = {task: {id(p) for p in model.task_parameters(task)} for task in TWO}

    def belongs(module: nn.Module, task: str) -> bool:
        return all(id(parameter) in own[task] for parameter in module.parameters())

    assert belongs(model.features["seg"], "seg")
    assert belongs(model.labels["seg"], "seg")
    assert not belongs(model.features["depth"], "depth")
    assert not belongs(model.labels["depth"], "depth")


def test_label_maps_leave_the_trunk_alone():
    model = models.create("atrc", tasks=TWO, **SMALL)
    outputs = model(torch.randn(2, 3, 64, 64))
    logits = outputs.categorical["seg"][0]
    reached = torch.autograd.grad(logits.sum(), outputs.shared, retain_graph=True, allow_unused=True)
    assert reached == (None,)
    own = torch.autograd.grad(logits.square().sum(), list(model.labels["seg"].parameters()))
    assert all(gradient.any() for gradient in own)


def choice(steps: int = 10) -> Choice:
    torch.manual_seed(0)
    return Choice(("global", "local"), 6, 4, steps=steps, pairs=4)


def spread(block: Choice, draws: int) -> float:
    """The mean of the greatest weight, from 1/3 to 1."""
    return float(torch.stack([block._draw().detach().max() for _ in range(draws)]).mean())


def test_a_search_draws_among_contexts_and_cools_down():
    block = choice(steps=1000)
    assert spread(block, 300) < 0.75
    block.passes.fill_(1000)
    assert spread(block, 300) > 0.95
    assert block.passes == 1300


def test_the_context_is_the_drawn_combination():
    block = choice().eval()
    with torch.no_grad():
        block.preferences.copy_(torch.tensor([0.0, 0.1, 0.2]))
    target, source = maps(1), maps(2)
    torch.testing.assert_close(block(target, source, None, None), block.contexts[1](target, source, None, None))
    assert block.relation() == "local"
    torch.manual_seed(3)
    block.train()
    found = block(target, source, None, None)
    torch.manual_seed(3)
    block.passes.zero_()
    weights = block._draw()
    both = [one(target, source, None, None) for one in block.contexts]
    torch.testing.assert_close(found, weights[1] * both[0] + weights[2] * both[1])


def test_a_clear_lead_decides_for_good():
    block = choice()
    with torch.no_grad():
        block.preferences.copy_(torch.tensor([0.0, 2.0, 0.0]))
    assert block._draw().tolist() == [0.0, 1.0, 0.0]
    with torch.no_grad():
        block.preferences.copy_(torch.tensor([0.0, 0.0, 2.0]))
    assert block._draw().tolist() == [0.0, 1.0, 0.0]
    assert block.relation() == "global"
    again = choice()
    again.load_state_dict(block.state_dict())
    assert again.relation() == "global"


@pytest.mark.parametrize(("passes", "weight"), [(0, -0.02), (5, 0.02), (10, 0.06), (50, 0.06)])
def test_the_entropy_of_the_preferences_is_part_of_the_objective(passes, weight):
    block = choice()
    with torch.no_grad():
        block.preferences.copy_(torch.tensor([0.3, -0.2, 0.1]))
    block.passes.fill_(passes)
    (3 * block.preferences[1]).backward()
    free = block.preferences.detach().clone().requires_grad_()
    shares = free.softmax(dim=0)
    (3 * free[1] - weight / 4 * (shares * shares.log()).sum()).backward()
    torch.testing.assert_close(block.preferences.grad, free.grad)


def test_a_search_finds_the_context_that_is_asked_for():
    block, target, source = choice(steps=60), maps(1), maps(2)
    optimizer = torch.optim.Adam([block.preferences], lr=0.1)
    for _ in range(60):
        wanted = block.contexts[1](target, source, None, None).detach()
        optimizer.zero_grad()
        F.mse_loss(block(target, source, None, None), wanted).backward()
        optimizer.step()
    assert block.relation() == "local"
    assert block.decided == 2


def test_a_search_leads_to_a_network():
    search = models.create("atrc", tasks=TWO, relations="search", search_steps=5, **SMALL)
    for target, source, preferred in [("seg", "depth", 4), ("depth", "depth", 3)]:
        with torch.no_grad():
            search.refinement[target].contexts[source].preferences[preferred] = 1.0
    found = search.relations()
    assert found == {
        "seg": {"seg": "none", "depth": "source_label"},
        "depth": {"seg": "none", "depth": "target_label"},
    }
    assert models.create("atrc", tasks=TWO, relations=found, **SMALL).relations() == found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relations": "globl"}, r"`relations` should be one of .*\. Found `relations = 'globl'`\. Did you mean"),
        ({"relations": {"sge": {}}}, r"Did you mean `seg`\?"),
        ({"relations": {"seg": {"dept": "local"}}}, r"Did you mean `depth`\?"),
        ({"relations": {"seg": {"depth": "labels"}}}, r"`relations\['seg'\]\['depth'\]` should be one of none, global"),
        (
            {"relations": "target_label"},
            r"no categories of `depth`.* Found 'target_label' for the target `depth` and the source `seg`",
        ),
        ({"search_steps": 0}, r"`search_steps` should be 1 or more\. Found `search_steps = 0`"),
        ({"tasks": {"class": Output(3, dense=False)}}, r"`tasks\['class'\]` should have a label for every pixel"),
    ],
)
def test_errors_say_what_to_do(options, message):
    good = {"tasks": {"seg": Output(3, categories=3), "depth": 1}, **SMALL}
    with pytest.raises(ValueError, match=message):
        models.create("atrc", **{**good, **options})
