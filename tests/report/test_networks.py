import torch

from equipoise import models
from equipoise.report.tables.catalogue import network_records, network_table
from equipoise.tasks import Output

TASKS = {"seg": Output(5), "depth": Output(1)}
SMALL = {"architecture": "shared", "backbone": "test_resnet", "decoder": "conv"}


def test_records_are_of_the_network_with_one_task_and_with_all():
    seen = []
    found = network_records([SMALL], TASKS, (64, 96), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    for record, tasks in zip(found, ({"seg": TASKS["seg"]}, TASKS), strict=True):
        model = models.create(tasks=tasks, **SMALL)
        assert record["tasks"] == list(tasks)
        assert record["options"] == {"decoder": "conv"}
        assert record["parameters"] == sum(p.numel() for p in model.parameters())
        assert record["shared"] == sum(p.numel() for p in model.shared_parameters())
        assert record["by_task"] == {t: sum(p.numel() for p in model.task_parameters(t)) for t in tasks}
    # A fully convolutional network, whose image mean is all that does not grow with the image.
    larger = network_records([SMALL], TASKS, (128, 96))
    assert [a["macs"] / b["macs"] for a, b in zip(larger, found, strict=True)] == [2.0, 2.0]


def test_a_network_that_cannot_be_built_says_why_and_the_others_are_listed():
    broken = {**SMALL, "backbone": "test_vit"}
    found = network_records([broken, SMALL], {"seg": TASKS["seg"]}, (64, 96))
    assert "need `output_stride = None`" in found[0]["error"]
    assert "parameters" in found[1]
    table = network_table(found, (64, 96))
    assert table.row_count == 2


def test_nothing_is_drawn():
    torch.manual_seed(0)
    network_records([SMALL], TASKS, (64, 96))
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), drawn)


def test_every_example_of_an_architecture_is_known_and_different():
    examples = models.examples()
    assert {"architecture": "shared", "backbone": "resnet18"} in examples
    assert len({repr(sorted(example.items())) for example in examples}) == len(examples)
    assert all(models.default_backbone(example["architecture"]) for example in examples)
