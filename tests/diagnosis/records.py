"""Rows as a probe records them."""

import torch


def record(step, tasks, gram, losses=None, weights=None, coherence=None):
    matrix = torch.tensor(gram, dtype=torch.float64)
    factors = torch.ones(len(tasks), dtype=torch.float64) if weights is None else torch.tensor(weights).double()
    return {
        "step": step,
        "tasks": list(tasks),
        "losses": losses or [1.0] * len(tasks),
        "weights": weights,
        "gram": matrix.flatten().tolist(),
        "with_update": (matrix @ factors).tolist(),
        "update_square": float(factors @ matrix @ factors),
        "coherence": coherence,
    }
