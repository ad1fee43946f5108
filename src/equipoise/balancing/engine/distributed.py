"""Means over all processes, shared random draws, and a check that all processes take the same step.

Without a process group every function is the identity, so that the engine has one path for one process and for many.
"""

import zlib
from collections.abc import Hashable, Mapping
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Key = TypeVar("Key", bound=Hashable)


def world_size() -> int:
    """Return the number of processes that train together; 1 without `torch.distributed`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def means(tensors: Mapping[Key, Tensor]) -> dict[Key, Tensor]:
    """Return means over all processes, with one all-reduce for all tensors of one dtype and device.

    Args:
        tensors: Tensors of any shapes, the same in the same order on every process. Not changed.
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
    """Replace a tensor by that of the first process, in place, so that random draws are the same everywhere."""
    if world_size() > 1:
        dist.broadcast(tensor, src=0)


def require_agreement(step: str, device: torch.device) -> None:
    """Refuse a step that differs between processes, because they would wait for one another for ever.

    Args:
        step: Description of this process's step: its tasks and parameters, or its error.
        device: Device on which the process group communicates.

    Raises:
        ValueError: The processes disagree. The message quotes each.
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
