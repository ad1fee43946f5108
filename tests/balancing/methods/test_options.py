"""Hyper-parameters change the update as documented, and wrong ones are refused."""

import pytest
import torch
from torch import Tensor

import equipoise
from equipoise.balancing import Balancer, all_methods, hyper_parameters

from .problems import METHODS, create, linear_step, weights_of


def rows() -> Tensor:
    return torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(8))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rlw", {"distribution": "cauchy"}),
        ("rlw", {"reduction": "max"}),
        ("rlw", {"seed": -1}),
        ("uw", {"kinds": {"a": "ranking"}}),
        ("uw", {"learning_rate": 0.0}),
        ("uw", {"optimizer": "lion"}),
        ("uw", {"initial": 30.0}),
        ("uw", {"initial": float("nan")}),
        ("imtl_l", {"bound": 0.0}),
        ("imtl_l", {"learning_rate": "fast"}),
        ("famo", {"learning_rate": float("inf")}),
        ("famo", {"minima": {"a": float("inf")}}),
        ("gradnorm", {"learning_rate": -1.0}),
        ("auto_lambda", {"learning_rate": 0.0}),
        ("auto_lambda", {"primary": []}),
        ("url", {"strength": {"a": -1.0}}),
        ("url", {"steps": 1.5}),
        ("rotograd", {"size": 1}),
        ("sdmgrad", {"steps": 0}),
        ("sdmgrad", {"batches": 2}),
        ("dwa", {"temperature": 0.0}),
        ("dwa", {"window": 0}),
        ("dtp", {"rate": 1.5}),
        ("dtp", {"focus": -1.0}),
        ("stch", {"mu": 0.0}),
        ("stch", {"warmup_epochs": 0}),
        ("gradnorm", {"alpha": -1.0}),
        ("gradnorm", {"measure_at": "head"}),
        ("mgda", {"normalization": "max"}),
        ("pcgrad", {"reduction": "max"}),
        ("cagrad", {"c": -0.1}),
        ("cagrad", {"rescale": 3}),
        ("gradvac", {"beta": 2.0}),
        ("graddrop", {"leak": 1.5}),
        ("graddrop", {"measure_at": "last_layer"}),
        ("aligned_mtl", {"scale_mode": "max"}),
        ("nash_mtl", {"max_norm": 0.0}),
        ("nash_mtl", {"every": 0}),
        ("fairgrad", {"alpha": 0.0}),
        ("cdtt", {"sensitivity": 1.1}),
        ("moco", {"beta": 0.0}),
        ("moco", {"gamma": -1.0}),
        ("db_mtl", {"beta": 1.0}),
        ("excess_mtl", {"rate": -0.1}),
        ("excess_mtl", {"measure_at": "features"}),
        ("config", {"length": "median"}),
        ("config", {"preference": {"a": 0.0}}),
    ],
)
def test_wrong_values_are_named(name, options):
    key = next(iter(options))
    with pytest.raises(ValueError, match=rf"`{key}.*` should .* Found"):
        equipoise.create(name, **options)


@pytest.mark.parametrize("name", METHODS)
def test_every_default_has_its_source(name):
    method = all_methods()[name]
    defaults = set(hyper_parameters(method)) - set(hyper_parameters(Balancer))
    assert all(hyper_parameters(method)[key].source for key in defaults)
    assert method.info.paper
    assert method.__doc__
    assert all(f"{key}:" in method.__doc__ for key in defaults)


@pytest.mark.parametrize(
    ("name", "options", "factor"),
    [
        ("rlw", {"reduction": "sum"}, 3.0),
        ("pcgrad", {"reduction": "mean"}, 1 / 3),
        ("cagrad", {"reduction": "sum"}, 3.0),
        ("cagrad", {"rescale": 0}, 1 + 0.4**2),
        ("cagrad", {"rescale": 2}, (1 + 0.4**2) / 1.4),
    ],
)
def test_conventions_differ_by_a_factor(name, options, factor):
    jacobian = rows()
    torch.testing.assert_close(
        linear_step(equipoise.create(name, **options), jacobian)[0],
        factor * linear_step(equipoise.create(name), jacobian)[0],
    )


# `info.scale`: the update for three identical tasks, relative to the gradient of one.
SCALES = {
    "sum": ["pcgrad", "gradvac", "graddrop", "aligned_mtl", "config", "gradnorm", "dwa", "excess_mtl", "si"],
    "mean": ["rlw", "gls", "mgda", "imtl_g", "upgrad", "edm"],
}


@pytest.mark.parametrize(("scale", "name"), [(scale, name) for scale, names in SCALES.items() for name in names])
def test_identical_tasks(scale, name):
    jacobian = rows()[:1].expand(3, -1).clone()
    update, _ = linear_step(equipoise.create(name), jacobian)
    assert equipoise.create(name).info.scale.startswith(scale)
    torch.testing.assert_close(update, (3.0 if scale == "sum" else 1.0) * jacobian[0], rtol=1e-6, atol=1e-9)


def test_dirichlet_draws_are_uniform_on_the_simplex():
    balancer = equipoise.create("rlw", distribution="dirichlet")
    found = torch.stack([weights_of(linear_step(balancer, rows())[1]) for _ in range(1000)])
    assert (found.mean(0) - 1 / 3).abs().max() < 0.04
    assert (found.var(0) - 1 / 18).abs().max() < 0.01  # of a flat Dirichlet distribution over three


def test_classification_weighs_twice_as_much_at_first():
    weights = linear_step(equipoise.create("uw", kinds={"task1": "classification"}), rows())[1].weights
    assert [float(weight) for weight in weights.values()] == [0.5, 1.0, 0.5]


def test_dtp_prefers_tasks_with_a_low_indicator():
    balancer = equipoise.create("dtp")
    with pytest.raises(ValueError, match=r"`kpi\['task0'\]`"):
        balancer.set_kpi({"task0": 1.2})
    first = weights_of(linear_step(balancer, rows())[1])
    torch.testing.assert_close(first, first[:1].expand(3))
    balancer.set_kpi({"task0": 0.9, "task1": 0.1})
    weights = weights_of(linear_step(balancer, rows())[1])
    assert weights[1] > weights[2] > weights[0]


def test_clipping_leaves_the_heads_alone():
    torch.manual_seed(0)
    trunk, heads = torch.nn.Linear(3, 4), torch.nn.ModuleList(torch.nn.Linear(4, 1) for _ in range(2))
    grads = []
    for max_norm in (None, 1e-3):
        trunk.zero_grad()
        heads.zero_grad()
        features = trunk(torch.ones(2, 3))
        losses = {str(i): (head(features) - i - 1).square().mean() for i, head in enumerate(heads)}
        equipoise.create("nash_mtl", max_norm=max_norm).backward(losses, features=features)
        grads.append([parameter.grad.clone() for parameter in heads.parameters()])
        norm = torch.cat([parameter.grad.reshape(-1) for parameter in trunk.parameters()]).norm()
        assert float(norm) == pytest.approx(max_norm or 2**0.5, rel=1e-4)
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("leak", [0.0, 0.3, 1.0])
def test_graddrop_at_features_decides_once_for_the_batch(leak):
    torch.manual_seed(0)
    maps = [torch.randn(8, 2, 3, 3, dtype=torch.float64, requires_grad=True), torch.randn(8, 5, dtype=torch.float64)]
    maps[1].requires_grad_()
    features = [tensor * 1 for tensor in maps]
    weights = [[torch.randn_like(feature) for feature in features] for _ in range(2)]
    losses = {
        str(i): sum((feature * weight).sum() for feature, weight in zip(features, own, strict=True))
        for i, own in enumerate(weights)
    }
    equipoise.create("graddrop", measure_at="features", leak=leak).backward(losses, features=features)
    for number, feature in enumerate(maps):
        first, second = (own[number] for own in weights)
        # For every feature, one pair of factors serves all samples: solve for it and compare.
        for place in torch.cartesian_prod(*(torch.arange(size) for size in feature.shape[1:])).view(
            -1, feature.ndim - 1
        ):
            at = (slice(None), *place.tolist())
            solution = torch.linalg.lstsq(torch.stack([first[at], second[at]], 1), feature.grad[at]).solution
            torch.testing.assert_close(torch.stack([first[at], second[at]], 1) @ solution, feature.grad[at])
            assert all(min(abs(float(factor) - kept) for kept in (leak, 1.0)) < 1e-9 for factor in solution)
            assert leak == 1.0 or float(solution.max()) == pytest.approx(1.0)


@pytest.mark.parametrize("name", METHODS)
def test_two_tensors_of_features(name):
    """The step is that of all features in one tensor."""
    options = {}
    if "measure_at" in hyper_parameters(all_methods()[name]) and name != "excess_mtl":
        options = {"measure_at": "features"}
    if name == "graddrop":
        options = {"measure_at": "features", "leak": 1.0}  # draws differ
    grads = []
    for split in (True, False):
        torch.manual_seed(0)
        trunk = torch.nn.Linear(3, 6).double()
        heads = torch.nn.ModuleList(torch.nn.Linear(6, 1).double() for _ in range(3))
        whole = trunk(torch.randn(4, 3, dtype=torch.float64)).tanh()
        features = list(whole.split(3, dim=1)) if split else [whole]
        joined = torch.cat(features, 1)
        losses = {str(i): (head(joined) - i - 1).square().mean() for i, head in enumerate(heads)}
        create(name, **options).backward(losses, features=features, last_layer=trunk)
        grads.append([parameter.grad for parameter in (*trunk.parameters(), *heads.parameters())])
    torch.testing.assert_close(*grads)
