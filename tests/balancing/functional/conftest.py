"""Jacobians of many kinds, on which every solver has to reach its optimality condition."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor


def _families(tasks: int, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1000 * seed + tasks)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    wide = tasks + 20
    rank = max(1, tasks // 2)
    signs = torch.where(torch.arange(tasks) % 2 == 0, 1.0, -1.0).double()[:, None]
    duplicates = normal(tasks, wide)
    duplicates[tasks // 2 :] = duplicates[: tasks - tasks // 2].clone()
    unequal = torch.logspace(-3, 3, tasks, dtype=torch.float64).roll(tasks // 2)[:, None]
    left, right = torch.linalg.qr(normal(tasks, tasks)).Q, torch.linalg.qr(normal(wide, tasks)).Q
    return {
        "random in 10 dimensions": normal(tasks, 10),
        "random in 200 dimensions": normal(tasks, 200),
        "in 3 dimensions": normal(tasks, 3),
        "square": normal(tasks, tasks),
        "norms 1:1000000": normal(tasks, wide) * unequal,
        "norms 1:1000000, two camps": (normal(tasks, wide) + 2 * signs * normal(1, wide)) * unequal,
        "ill-conditioned": left @ (torch.logspace(0, -3, tasks, dtype=torch.float64)[:, None] * right.T),
        "nearly duplicates": duplicates * (1 + signs / 2) + 1e-4 * normal(tasks, wide),
        "norms 1:1000": normal(tasks, wide) * torch.logspace(-1.5, 1.5, tasks, dtype=torch.float64)[:, None],
        "a common part": normal(tasks, wide) + 3 * normal(1, wide),
        "two camps": normal(tasks, wide) + 2 * signs * normal(1, wide),
        "nearly parallel": normal(1, wide) + 1e-6 * normal(tasks, wide),
        "dependent, agreeing": normal(tasks, rank).abs() @ normal(rank, wide),
        "dependent": normal(tasks, rank) @ normal(rank, wide),
        "duplicates": duplicates,
        "identical": normal(1, wide).expand(tasks, -1).clone(),
        "positive": normal(tasks, wide).abs(),
        "nearly of low rank": normal(tasks, 4) @ normal(4, 60) + 0.01 * normal(tasks, 60),
        "tiny": 1e-20 * (normal(tasks, wide) + 2 * signs * normal(1, wide)),
        "huge": 1e20 * (normal(tasks, wide) + 2 * signs * normal(1, wide)),
    }


@pytest.fixture
def families() -> Callable[..., dict[str, Tensor]]:
    """A function of the number of tasks (and a seed) that gives Jacobians by name."""
    return _families
