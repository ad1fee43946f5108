"""Equipoise in your own training loop, with PyTorch alone: three tasks whose losses differ by a factor of 10,000.

Run it with `python examples/own_loop.py`, or with another method: `python examples/own_loop.py uniform`.
"""

import sys

import torch
from torch import nn

import equipoise

torch.manual_seed(0)
encoder = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
heads = nn.ModuleDict({task: nn.Linear(64, 4) for task in ("small", "medium", "large")})
scales = {"small": 0.01, "medium": 1.0, "large": 100.0}
truth = {task: nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4)) for task in heads}

balancer = equipoise.create(sys.argv[1] if len(sys.argv) > 1 else "avgnorm")
optimizer = torch.optim.SGD([*encoder.parameters(), *heads.parameters()], lr=1e-3)
for step in range(501):
    inputs = torch.randn(64, 16)
    features = encoder(inputs)
    losses = {task: scales[task] * (heads[task](features) - truth[task](inputs)).square().mean() for task in heads}
    optimizer.zero_grad()
    balance = balancer.backward(losses, features=features, last_layer=encoder[2])
    optimizer.step()
    if step % 100 == 0:
        errors = "  ".join(f"{task} {float(loss) / scales[task]:.4f}" for task, loss in balance.losses.items())
        print(f"step {step:3d}  squared errors: {errors}")
    if step == 500:
        print("last weights:", {task: round(float(weight), 3) for task, weight in (balance.weights or {}).items()})
