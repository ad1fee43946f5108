import numpy as np
import polars
import pytest
import torch

import equipoise
from equipoise.diagnosis import Probe

TASKS = ("seg", "depth", "edge")


@pytest.fixture(scope="session")
def probe():
    """A probe that has seen a small network train for some steps, the losses of very different scales."""
    torch.manual_seed(0)
    trunk, heads = torch.nn.Linear(5, 6), torch.nn.ModuleDict({task: torch.nn.Linear(6, 1) for task in TASKS})
    optimizer = torch.optim.SGD([*trunk.parameters(), *heads.parameters()], 0.01)
    probe, inputs = Probe(every=1), torch.randn(100, 16, 5)
    for batch in inputs:
        optimizer.zero_grad()
        features = trunk(batch).tanh()
        losses = {
            task: (head(features)[:, 0] - batch[:, place]).square().mean() * 10.0**-place
            for place, (task, head) in enumerate(heads.items())
        }
        equipoise.Uniform().backward(losses, features=features, last_layer=trunk, probe=probe)
        optimizer.step()
    return probe


@pytest.fixture
def line():
    """Find the drawn curve of a name in axes: its x and y."""

    def find(axes, name):
        found = [one for one in axes.get_lines() if one.get_label() == name]
        assert len(found) == 1
        return np.array(found[0].get_xdata()), np.array(found[0].get_ydata())

    return find


def few(kind):
    """Awkward records of tasks: none at all, a single step, a task absent in steps, gradients of zero."""
    number = {"loss": 1.0, "weight": 1.0, "norm": 1.0, "weighted_norm": 1.0, "cosine_with_update": 0.5, "share": 0.5}
    rows = {
        "none": [],
        "one step": [{"step": 7, "task": task} | number for task in TASKS],
        "one task": [{"step": step, "task": "edge"} | number for step in range(5)],
        "absent": [
            {"step": step, "task": task} | number for step in range(9) for task in TASKS if task != "depth" or step == 4
        ],
        "zero": [
            {"step": step, "task": task} | number | dict.fromkeys(("norm", "weighted_norm"), 0.0)
            | dict.fromkeys(("cosine_with_update", "share"), float("nan"))
            for step in range(3) for task in TASKS
        ],
    }[kind]  # fmt: skip
    schema = {"step": polars.Int64, "task": polars.String} | dict.fromkeys(number, polars.Float64)
    return polars.DataFrame(rows, schema=schema, orient="row")


@pytest.fixture(params=["none", "one step", "one task", "absent", "zero"])
def awkward(request):
    return few(request.param)
