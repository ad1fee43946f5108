"""Methods that need further forward passes get them, and the passes have no side effects."""

import pytest
import torch
from torch import Tensor, nn

import equipoise
from equipoise.balancing import Context, Need, all_methods, undisturbed

from .networks import ARGUMENTS, TASKS, context, network, step

NEEDY = sorted(name for name, method in all_methods().items() if method.info.needs)
every_needy_method = pytest.mark.parametrize("name", NEEDY)


def create(name: str):
    return equipoise.create(name, **ARGUMENTS.get(name, {}))


def test_which_methods_need_more():
    assert {"auto_lambda", "famo", "modo", "rotograd", "sdmgrad", "url"} <= set(NEEDY)


@every_needy_method
def test_what_is_missing_is_named_before_a_gradient_is_touched(name):
    net, inputs = network()
    balancer = create(name)
    provided = {need for need in balancer.needs if need.name.lower() in Context.__dataclass_fields__}
    before = str(balancer.state_dict())
    for need in provided - {Need.AGAIN}:
        with pytest.raises(ValueError, match=rf"`context` should have .* {name} needs .*Pass `context="):
            step(balancer, net, inputs, context=Context())
        whole = context(balancer, net, inputs)
        partial = Context(**{**vars(whole), need.name.lower(): None})
        with pytest.raises(ValueError, match=f"`{need.name.lower()}`"):
            step(balancer, net, inputs, context=partial)
        assert all(parameter.grad is None for parameter in net.parameters())
        assert str(balancer.state_dict()) == before
    step(balancer, net, inputs)
    if Need.AGAIN in provided:
        with pytest.raises(ValueError, match="`again`"):
            balancer.after_step()
    balancer.after_step(context(balancer, net, inputs))


@every_needy_method
def test_nothing_else_is_asked_for(name):
    net, inputs = network()
    balancer = create(name)
    whole = context(balancer, net, inputs)
    asked = {need.name.lower() for need in balancer.needs}
    only = Context(**{key: value if key in asked else None for key, value in vars(whole).items()})
    for _ in range(2):
        step(balancer, net, inputs, context=only)
        balancer.after_step(only)


@every_needy_method
def test_statistics_and_random_numbers_do_not_notice(name):
    def after(number_of_steps: int, method: str) -> tuple[list[Tensor], Tensor]:
        net, inputs = network(normalise=True)
        torch.manual_seed(1)
        balancer = create(method)
        for _ in range(number_of_steps):
            around = context(balancer, net, inputs)
            step(balancer, net, inputs, context=around)
            balancer.after_step(around)
        return [buffer.clone() for buffer in net.buffers()], torch.rand(3)

    # Weights are never updated, so that the statistics depend on the number of forward passes alone.
    plain, found = after(3, "uniform"), after(3, name)
    torch.testing.assert_close(found, plain, rtol=0, atol=0)


@every_needy_method
def test_it_trains(name):
    net, inputs = network()
    balancer = create(name)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    totals = []
    for _ in range(60):
        around = context(balancer, net, inputs, optimiser=optimiser)
        optimiser.zero_grad()
        balance = step(balancer, net, inputs, context=around)
        optimiser.step()
        balancer.after_step(around)
        totals.append(sum(float(loss) for loss in balance.losses.values()))
    assert totals[-1] < 0.5 * totals[0]


@every_needy_method
def test_another_batch_that_is_not_finite_is_refused(name):
    net, inputs = network()
    balancer = create(name)
    if not balancer.needs & {Need.FURTHER, Need.VALIDATION}:
        pytest.skip("needs no other batch")
    whole = context(balancer, net, inputs)

    def broken():
        found = whole.validation()
        return equipoise.Forward({**found.losses, "b": found.losses["b"] * float("nan")}, found.features)

    around = Context(**{**vars(whole), "further": broken, "validation": broken})
    before = str(balancer.state_dict())
    with pytest.raises(equipoise.NonFiniteError, match="b") as caught:
        step(balancer, net, inputs, context=around)
    assert caught.value.tasks == ("b",)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert str(balancer.state_dict()) == before
    lenient = equipoise.create(name, **ARGUMENTS.get(name, {}), nonfinite="skip")
    assert step(lenient, net, inputs, context=around).skipped


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.inner(inputs)


def test_undisturbed_keeps_statistics_generators_and_graphs():
    torch.manual_seed(0)
    model, inputs = Noisy(), torch.randn(6, 3)
    buffers, values = list(model.buffers()), [buffer.clone() for buffer in model.buffers()]
    loss = model(inputs).sum()
    state = torch.get_rng_state()
    changed = [buffer.clone() for buffer in model.buffers()]
    with undisturbed(model):
        other = model(2 * inputs).square().sum()
        assert not torch.equal(model.inner[1].running_mean, changed[0])
    assert all(x is y for x, y in zip(buffers, model.buffers(), strict=True))
    torch.testing.assert_close(changed, list(model.buffers()), rtol=0, atol=0)
    assert not torch.equal(values[0], changed[0])
    assert torch.equal(state, torch.get_rng_state())
    other.backward()
    loss.backward()


def test_undisturbed_puts_things_back_after_an_error():
    model = Noisy()
    before = [buffer.clone() for buffer in model.buffers()]

    def fail() -> None:
        with undisturbed(model):
            model(torch.randn(6, 3))
            model(torch.randn(6, 5))

    with pytest.raises(RuntimeError):
        fail()
    torch.testing.assert_close(before, list(model.buffers()), rtol=0, atol=0)


def test_methods_without_needs_leave_the_context_alone():
    net, inputs = network()
    balancer = equipoise.create("uniform")
    assert balancer.needs == frozenset()
    step(balancer, net, inputs, TASKS, context=Context())
    balancer.after_step()
    features = net.encode(inputs)
    assert balancer.adapt("a", features) is features
