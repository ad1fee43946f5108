"""Properties of every registered method, on a small real network. A new method is covered without an edit here."""

import copy
import io
import pickle

import pytest
import torch
from torch import Tensor

import equipoise
from equipoise import NonFiniteError
from equipoise.balancing import Place

from .networks import TASKS, Network, context, flat, label, network, step, task_gradients, variants

every_method = pytest.mark.parametrize("variant", variants(), ids=label)


def create(variant, **options):
    name, arguments = variant
    return equipoise.create(name, **arguments, **options)


def looks_at_features(variant) -> bool:
    name, arguments = variant
    if "measure_at" in arguments:
        return arguments["measure_at"] == "features"
    return equipoise.balancing.all_methods()[name].info.default_place is Place.FEATURES


def train(balancer, net: Network, batches: list[Tensor], tasks=TASKS) -> list[Tensor]:
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9)
    for batch in batches:
        around = context(balancer, net, batch, tasks, optimiser)
        optimiser.zero_grad()
        step(balancer, net, batch, tasks, context=around)
        optimiser.step()
        balancer.after_step(around)
    return [parameter.detach().clone() for parameter in net.parameters()]


def batches(number: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(11)
    return [torch.randn(8, 5, dtype=dtype, generator=generator) for _ in range(number)]


@every_method
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)], ids=["float32", "float64"]
)
def test_grad_is_the_weighted_sum_of_task_gradients(variant, dtype, tolerance):
    balancer = create(variant)
    net, _ = network(dtype)
    for inputs in batches(3, dtype):
        net.zero_grad()
        shared = net.shared()
        alone = task_gradients(net.losses(net.encode(inputs), adapt=balancer.adapt), shared)
        balance = step(balancer, net, inputs)
        balancer.after_step(context(balancer, net, inputs))
        assert list(balance.losses) == list(TASKS)
        received = flat([parameter.grad for parameter in shared], shared)
        assert bool(received.isfinite().all())
        if balance.weights is None:
            assert received.norm() > 0
            continue
        expected = sum(balance.weights[task] * flat(alone[task], shared) for task in TASKS)
        torch.testing.assert_close(received, expected, rtol=tolerance, atol=tolerance * float(expected.norm()))


@every_method
def test_heads_receive_a_multiple_of_their_own_gradient(variant):
    balancer = create(variant)
    net, inputs = network()
    step(balancer, net, inputs)
    losses = net.losses(net.encode(inputs))
    for task, head in net.heads.items():
        own = list(head.parameters())
        plain = flat(task_gradients({task: losses[task]}, own)[task], own)
        received = flat([parameter.grad for parameter in own], own)
        factor = (received @ plain) / (plain @ plain)
        torch.testing.assert_close(received, factor * plain)


@every_method
def test_features_change_nothing_but_the_cost(variant):
    if looks_at_features(variant):
        pytest.skip("measures at the features")
    if variant[0] == "graddrop":
        pytest.skip("draws entry by entry, in the order in which the parameters are found")
    grads = []
    for cut in (True, False):
        balancer = create(variant)
        torch.manual_seed(0)
        net, inputs = network()
        features = net.encode(inputs)
        options = {"features": features} if cut else {"shared": net.shared()}
        around = context(balancer, net, inputs)
        balancer.backward(net.losses(features), last_layer=net.last, context=around, **options)
        grads.append([parameter.grad for parameter in net.parameters()])
    torch.testing.assert_close(grads[0], grads[1])


@every_method
def test_grad_accumulates(variant):
    net, inputs = network()
    torch.manual_seed(0)
    step(create(variant), net, inputs)
    once = [parameter.grad.clone() for parameter in net.parameters()]
    torch.manual_seed(0)
    step(create(variant), net, inputs)
    torch.testing.assert_close([parameter.grad for parameter in net.parameters()], [2 * grad for grad in once])


@every_method
@pytest.mark.parametrize("present", [("a", "c"), ("b",)], ids=["two", "one"])
def test_tasks_may_be_missing(variant, present):
    balancer = create(variant)
    net, inputs = network()
    step(balancer, net, inputs)
    balancer.after_step(context(balancer, net, inputs))
    net.zero_grad()
    balance = step(balancer, net, inputs, present)
    balancer.after_step(context(balancer, net, inputs, present))
    assert tuple(balance.losses) == present
    for task, head in net.heads.items():
        assert all((parameter.grad is not None) == (task in present) for parameter in head.parameters())
    assert all(parameter.grad is not None and bool(parameter.grad.isfinite().all()) for parameter in net.shared())
    net.zero_grad()
    assert tuple(step(balancer, net, inputs).losses) == TASKS


@every_method
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_of_all_losses_does_no_harm(variant, scale):
    balancer = create(variant)
    net, inputs = network()
    features = net.encode(inputs)
    balancer.backward(
        {task: scale * loss for task, loss in net.losses(features).items()},
        features=features,
        last_layer=net.last,
        context=context(balancer, net, inputs),
    )
    assert all(bool(parameter.grad.isfinite().all()) for parameter in net.parameters())
    assert any(bool(parameter.grad.any()) for parameter in net.shared())


@every_method
def test_a_resumed_run_continues_bit_for_bit(variant):
    net, _ = network()
    balancer = create(variant)
    uninterrupted = train(balancer, net, batches(4))

    net, _ = network()
    first = create(variant)
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9)
    for number, batch in enumerate(batches(4)):
        if number == 2:
            stored = io.BytesIO()
            torch.save(first.state_dict(), stored)
            stored.seek(0)
            first = create(variant)
            first.load_state_dict(torch.load(stored, weights_only=True))
        around = context(first, net, batch, optimiser=optimiser)
        optimiser.zero_grad()
        step(first, net, batch, context=around)
        optimiser.step()
        first.after_step(around)
    assert all(torch.equal(x, y) for x, y in zip(uninterrupted, net.parameters(), strict=True))


@every_method
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))], ids=["deepcopy", "pickle"]
)
def test_copies_go_on_alike(variant, duplicate):
    net, _ = network()
    balancer = create(variant)
    train(balancer, net, batches(2))
    other, twin = copy.deepcopy(net), duplicate(balancer).to(torch.float64)
    assert all(
        torch.equal(x, y) for x, y in zip(train(balancer, net, batches(2)), train(twin, other, batches(2)), strict=True)
    )


@every_method
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_refused_and_forgotten(variant, value):
    net, inputs = network()
    balancer, untroubled = create(variant), create(variant)
    features = net.encode(inputs)
    losses = net.losses(features)
    losses["b"] = losses["b"] * value
    with pytest.raises(NonFiniteError, match="`b`") as caught:
        balancer.backward(losses, features=features, last_layer=net.last, context=context(balancer, net, inputs))
    assert caught.value.tasks == ("b",)
    assert all(parameter.grad is None for parameter in net.parameters())
    torch.manual_seed(0)
    step(balancer, net, inputs)
    after = [parameter.grad.clone() for parameter in net.parameters()]
    net.zero_grad()
    torch.manual_seed(0)
    step(untroubled, net, inputs)
    torch.testing.assert_close([parameter.grad for parameter in net.parameters()], after, rtol=0, atol=0)


@every_method
@pytest.mark.parametrize("cut", [True, False], ids=["features", "no features"])
def test_a_finite_loss_with_a_nan_gradient_is_refused(variant, cut):
    if looks_at_features(variant) and not cut:
        pytest.skip("measures at the features")
    net, inputs = network()
    balancer = create(variant)
    before = balancer.state_dict()
    features = net.encode(inputs)
    losses = net.losses(features)
    losses["c"] = losses["c"] + (net.heads["c"](features) * 0).square().sum().sqrt()
    options = {"features": features} if cut else {"shared": net.shared()}
    with pytest.raises(NonFiniteError) as caught:
        balancer.backward(losses, last_layer=net.last, context=context(balancer, net, inputs), **options)
    assert caught.value.tasks == ("c",)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert str(balancer.state_dict()) == str(before)


@every_method
def test_steps_that_are_not_finite_can_be_left_out(variant):
    net, inputs = network()
    balancer = create(variant, nonfinite="skip")
    features = net.encode(inputs)
    losses = net.losses(features)
    losses["a"] = losses["a"] * float("nan")
    around = context(balancer, net, inputs)
    assert balancer.backward(losses, features=features, last_layer=net.last, context=around).skipped
    assert balancer.skipped_steps == 1
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not step(balancer, net, inputs).skipped
    restored = create(variant, nonfinite="skip")
    restored.load_state_dict(balancer.state_dict())
    assert restored.skipped_steps == 1


@every_method
def test_a_gradient_scaler_changes_only_the_scale(variant):
    net, inputs = network()
    torch.manual_seed(0)
    step(create(variant), net, inputs)
    plain = [parameter.grad.clone() for parameter in net.parameters()]
    net.zero_grad()
    torch.manual_seed(0)
    step(create(variant), net, inputs, scaler=torch.amp.GradScaler("cpu", init_scale=1024.0))
    torch.testing.assert_close([parameter.grad for parameter in net.parameters()], [1024 * grad for grad in plain])


@every_method
def test_a_step_that_overflows_is_passed_on_for_the_scaler_to_skip(variant):
    net, inputs = network(torch.float32)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=3e38)
    balancer = create(variant)
    before = str(balancer.state_dict())
    weights = [parameter.detach().clone() for parameter in net.parameters()]
    features = net.encode(inputs)
    # Slopes that overflow with any method's weights, at losses that every method accepts.
    losses = {task: loss + 1e6 * (loss - loss.detach()) for task, loss in net.losses(features).items()}
    around = context(balancer, net, inputs)
    options = {"features": features, "last_layer": net.last, "context": around, "scaler": scaler}
    assert balancer.backward(losses, **options).skipped
    scaler.step(optimiser)
    scaler.update()
    assert all(torch.equal(x, y) for x, y in zip(weights, net.parameters(), strict=True))
    assert scaler.get_scale() < 3e38
    assert str(balancer.state_dict()) == before


@every_method
def test_bfloat16_autocast(variant):
    net, inputs = network(torch.float32)
    balancer = create(variant)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = net.encode(inputs)
        losses = net.losses(features)
    around = context(balancer, net, inputs)
    balancer.backward(losses, features=features, last_layer=net.last, context=around)
    for parameter in net.parameters():
        assert parameter.grad.dtype == torch.float32
        assert bool(parameter.grad.isfinite().all())
