"""What balancing needs of `torch.distributed`: means over all processes, draws shared by all, and a check that all see
the same step.

Every function is the identity when no process group is initialised, so that the engine has one path for one process and
for many.
"""

import zlib
from collections.abc import Hashable, Mapping
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Key = TypeVar("Key", bound=Hashable)


def world_size() -> int:
    """Number of processes that train together; 1 when `torch.distributed` is not in use."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def means(tensors: Mapping[Key, Tensor]) -> dict[Key, Tensor]:
    """Means over all processes, with one all-reduce for all tensors of a kind.

    Args:
        tensors: Of any shapes; the same shapes in the same order on every process. Not changed.
    """
    if world_size() == 1:
        return dict(tensors)
    kinds: dict[tuple[torch.dtype, torch.device], list[Key]] = {}
    for key, tensor in tensors.items():
        kinds.setdefault((tensor.dtype, tensor.device), []).append(key)
    found: dict[Key, Tensor] = {}
    for keys in kinds.values():
        flat = torch.cat([tensors[key].reshape(-1) for key in keys])
        dist.all_reduce(flat)
        flat.div_(world_size())
        parts = flat.split([tensors[key].numel() for key in keys])
        found |= {key: part.view(tensors[key].shape) for key, part in zip(keys, parts, strict=True)}
    return {key: found[key] for key in tensors}


def mean_(tensor: Tensor) -> None:
    """Replace a tensor by its mean over all processes, in place."""
    if world_size() > 1:
        dist.all_reduce(tensor)
        tensor.div_(world_size())


def sum_(tensor: Tensor) -> None:
    """Replace a tensor by its sum over all processes, in place."""
    if world_size() > 1:
        dist.all_reduce(tensor)


def share_(tensor: Tensor) -> None:
    """Replace a tensor by the first process's, in place: how stochastic methods draw the same numbers everywhere."""
    if world_size() > 1:
        dist.broadcast(tensor, src=0)


def require_agreement(step: str, device: torch.device) -> None:
    """Refuse a step that differs between processes, in which they would wait for one another for ever.

    Args:
        step: This process's step in words: its tasks and parameters, or what is wrong with it.
        device: Where the process group communicates.

    Raises:
        ValueError: The processes disagree; the message quotes each.
    """
    if world_size() == 1:
        return
    fingerprint = zlib.crc32(step.encode())
    extremes = torch.tensor([fingerprint, -fingerprint], dtype=torch.int64, device=device)
    dist.all_reduce(extremes, op=dist.ReduceOp.MAX)
    highest, lowest = extremes.tolist()
    if highest == -lowest:
        return
    everywhere: list[str] = [""] * world_size()
    dist.all_gather_object(everywhere, step)
    listed = "; ".join(f"process {rank}: {found}" for rank, found in enumerate(everywhere))
    raise ValueError(
        f"`losses` should hold the same tasks in the same order on every process. Found {listed}. Give a task that "
        "has no labels in a process's batch a loss of zero that still depends on the prediction, such as "
        "`prediction.sum() * 0`."
    )
