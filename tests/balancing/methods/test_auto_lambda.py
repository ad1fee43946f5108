"""Auto-Lambda on recorded trainings of a small network."""

import torch
from torch import Tensor

import equipoise
from equipoise import Context, Forward

from ..networks import context, network, step


def numbers(text: str) -> dict[str, float]:
    return {key: float(value) for key, value in (part.split("=") for part in text.split()[1:])}


def test_recorded_trainings(parity):
    records = parity.read("sequences_dev")["records"]
    records = [record for record in records if record["method"] == "auto_lambda"]
    assert records
    for record in records:
        data = {key: torch.tensor(value, dtype=torch.float64) for key, value in record["inputs"].items()}
        outputs, options = record["outputs"], record["hparams"]
        tasks = ["a", "b", "c"][: len(data["H"])]
        trunk = data["W"].clone().requires_grad_()
        heads = [row.clone().requires_grad_() for row in data["H"]]
        sgd = numbers(options["model_optimizer"])
        optimizer = torch.optim.SGD([trunk, *heads], lr=sgd["lr"], momentum=sgd["momentum"], weight_decay=sgd["wd"])
        balancer = equipoise.AutoLambda(
            learning_rate=numbers(options["meta_optimizer"].replace("Adam", "Adam "))["lr"],
            initial=options["weight_init"],
            primary=options["primary"],
        )

        def losses(inputs: Tensor, targets: Tensor) -> Forward:
            features = inputs @ trunk.T  # noqa: B023
            predictions = [features @ head for head in heads]  # noqa: B023
            pairs = zip(tasks, predictions, targets, strict=True)  # noqa: B023
            return Forward({task: (found - target).square().mean() for task, found, target in pairs}, features)

        for number in range(len(data["x_train"])):
            around = Context(
                validation=lambda number=number: losses(data["x_val"][number], data["y_val"][number]),  # noqa: B023
                optimizer=optimizer,
            )
            now = losses(data["x_train"][number], data["y_train"][number])
            optimizer.zero_grad()
            balance = balancer.backward(now.losses, features=now.features, context=around)
            optimizer.step()
            expected = torch.tensor(outputs["meta_weights_after_step"][number], dtype=torch.float64)
            # The record's gradients are finite differences; these are exact.
            torch.testing.assert_close(torch.stack(list(balance.weights.values())), expected, rtol=0, atol=1e-5)
            slope = torch.tensor(outputs["meta_grad"][number], dtype=torch.float64)
            if number == 0:
                first = torch.stack([balancer.state["first_moments"][task] for task in tasks]) / 0.1
                assert (first - slope).abs().max() <= 1e-3 * slope.abs().max()
        torch.testing.assert_close(trunk.detach(), torch.tensor(outputs["final_W"]).double(), rtol=0, atol=1e-4)


def test_the_slope_is_that_of_the_validation_loss_after_the_step():
    net, inputs = network()
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=0.01)
    balancer = equipoise.AutoLambda()
    for _ in range(2):  # the second time there is momentum
        around = context(balancer, net, inputs, optimiser=optimiser)
        optimiser.zero_grad()
        step(balancer, net, inputs, context=around)
        optimiser.step()
    parameters = list(net.parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    state = balancer.get_extra_state()
    lambdas = {task: value.clone() for task, value in state["state"]["values"].items()}
    moments = {task: value.clone() for task, value in state["state"]["first_moments"].items()}
    around = context(balancer, net, inputs, optimiser=optimiser)
    step(balancer, net, inputs, context=around)
    # Found in the moments, because the balancer only hands out the weights.
    slopes = {task: (balancer.state["first_moments"][task] - 0.9 * moments[task]) / 0.1 for task in lambdas}
    assert all(torch.equal(x, y) for x, y in zip(before, parameters, strict=True))

    def after(weights: dict[str, Tensor]) -> float:
        losses = net.losses(net.encode(inputs))
        gradients = torch.autograd.grad(sum(weights[task] * loss for task, loss in losses.items()), parameters)
        for parameter, gradient, start in zip(parameters, gradients, before, strict=True):
            momentum = optimiser.state[parameter]["momentum_buffer"]
            parameter.data = start - 1e-3 * (0.9 * momentum + gradient + 0.01 * start)
        total = float(sum(around.validation().losses.values()).detach())
        for parameter, start in zip(parameters, before, strict=True):
            parameter.data = start.clone()
        return total

    for task in lambdas:
        higher, lower = ({**lambdas, task: lambdas[task] + change} for change in (1e-4, -1e-4))
        slope = (after(higher) - after(lower)) / 2e-4
        torch.testing.assert_close(float(slopes[task]), slope, rtol=1e-4, atol=1e-8)
