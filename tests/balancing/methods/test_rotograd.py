"""RotoGrad on recorded trainings of a small network, and invariants of its rotations."""

import pytest
import torch

import equipoise
from equipoise.balancing.methods.rotograd import rotograd_slopes

from ..networks import context, network, step


def numbered(matrices) -> dict[str, dict]:
    return {str(task): {"0": matrix.clone()} for task, matrix in enumerate(matrices)}


def test_recorded_trainings(parity):
    records = parity.read("sequences_dev")["records"]
    records = [record for record in records if record["method"] == "rotograd"]
    assert records
    for record in records:
        data = {key: torch.tensor(value, dtype=torch.float64) for key, value in record["inputs"].items()}
        expected = {key: torch.tensor(value, dtype=torch.float64) for key, value in record["outputs"].items()}
        options = record["hparams"]
        trunk = data["W_backbone"].clone().requires_grad_()
        heads = [head.clone().requires_grad_() for head in data["heads"]]
        balancer = equipoise.RotoGrad(
            learning_rate=options["rotation_lr"],
            optimizer="sgd",
            burn_in=options["burn_in"],
            equal_lengths="RotateOnly" not in record["impl"],
        )
        for number, (inputs, targets) in enumerate(zip(data["x"], data["y"], strict=True)):
            # The record keeps its parameters in another chart, in which later steps differ in the second order.
            balancer.state = balancer.state | {"rotations": numbered(expected["rotations_before_step"][number])}
            features = inputs @ trunk.T
            losses = {
                str(task): (balancer.adapt(str(task), features) @ head.T - target).square().mean()
                for task, (head, target) in enumerate(zip(heads, targets, strict=True))
            }
            torch.testing.assert_close(
                torch.stack(list(losses.values())), expected["losses"][number], rtol=1e-10, atol=0
            )
            for parameter in (trunk, *heads):
                parameter.grad = None
            balancer.backward(losses, features=features)
            combined = expected["combined_rep_grad"][number]
            torch.testing.assert_close(trunk.grad, combined.T @ inputs, rtol=1e-10, atol=1e-12)
            found = torch.stack([balancer.state["rotations"][str(task)]["0"] for task in range(len(losses))])
            turn = expected["rotations_before_step"][number + 1] - expected["rotations_before_step"][number]
            error = (found - expected["rotations_before_step"][number + 1]).norm()
            assert error <= (1e-10 if number == 0 else 0.02) * max(float(turn.norm()), 1e-3)
            for parameter in (trunk, *heads):
                parameter.data -= options["model_lr"] * parameter.grad
        torch.testing.assert_close(trunk.detach(), expected["final_W_backbone"], rtol=1e-10, atol=1e-12)


def test_the_slope_is_that_of_the_distance():
    generator = torch.Generator().manual_seed(0)
    gradients = list(torch.randn(3, 4, 7, dtype=torch.float64, generator=generator))
    norms = torch.stack([gradient.norm() for gradient in gradients])
    mean_norm = sum(gradients).norm() / 3
    target = sum(gradient / norm for gradient, norm in zip(gradients, norms, strict=True)) / 3 * mean_norm
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=generator)).Q
    free = torch.zeros(4, 4, dtype=torch.float64, requires_grad=True)
    skew = (free - free.T) / 2
    distance = (rotation @ torch.matrix_exp(skew) @ target - rotation @ gradients[1]).square().sum()
    distance.backward()
    # Each free entry occurs twice in the skew-symmetric matrix, with half its weight.
    torch.testing.assert_close(rotograd_slopes(gradients, norms, mean_norm)[1], 2 * free.grad)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("size", [None, 3])
def test_rotations_stay_rotations_and_bring_gradients_together(optimizer, size):
    net, inputs = network()
    balancer = equipoise.RotoGrad(learning_rate=0.02, optimizer=optimizer, size=size)
    cosines = []
    for _ in range(80):
        balance = step(balancer, net, inputs)  # the network stays, the rotations move
        cosines.append(float(balance.cosines.mean()))
    assert cosines[-1] > cosines[0]
    for rotation in (found["0"] for found in balancer.state["rotations"].values()):
        assert len(rotation) == (size or 6)
        torch.testing.assert_close(rotation @ rotation.T, torch.eye(len(rotation)).double(), rtol=0, atol=1e-12)
        assert float(torch.linalg.det(rotation)) == pytest.approx(1.0)
        assert float((rotation - torch.eye(len(rotation))).norm()) > 0.01


def test_all_gradients_come_back_with_the_same_length():
    net, inputs = network()
    balancer = equipoise.RotoGrad()
    for _ in range(3):
        balance = step(balancer, net, inputs)
        lengths = [float(balance.weights[task] * balance.norms[task]) for task in balance.losses]
        assert lengths == pytest.approx([lengths[0]] * 3)


def test_feature_maps_are_rotated_at_every_position():
    balancer = equipoise.RotoGrad(learning_rate=0.1)
    leaves = [torch.randn(2, 4, 3, 3, requires_grad=True), torch.randn(2, 5, 6, 6, requires_grad=True)]
    for _ in range(2):
        features = [leaf * 1.0 for leaf in leaves]
        read = {task: balancer.adapt(task, features) for task in ("a", "b")}
        losses = {
            "a": read["a"][0][:, 0].square().mean() + read["a"][1][:, 1].square().mean(),
            "b": (read["b"][0][:, 1] - 2).square().mean() + (read["b"][1][:, 0] - 2).square().mean(),
        }
        balancer.backward(losses, features=features)
    rotated = balancer.adapt("a", features)
    assert [tuple(tensor.shape) for tensor in rotated] == [(2, 4, 3, 3), (2, 5, 6, 6)]
    for number in range(2):
        rotation = balancer.state["rotations"]["a"][str(number)]
        torch.testing.assert_close(rotated[number][1, :, 2, 0], rotation @ features[number][1, :, 2, 0])


def test_heads_that_do_not_read_rotated_features_are_noticed():
    net, inputs = network()
    balancer = equipoise.RotoGrad()
    step(balancer, net, inputs)
    features = net.encode(inputs)
    with pytest.raises(ValueError, match=r"balancer\.adapt\('a', features\)"):
        balancer.backward(net.losses(features), features=features)
    with pytest.raises(ValueError, match="channels"):
        balancer.adapt("a", features[:, :5])
    step(balancer, net, inputs, context=context(balancer, net, inputs))
