"""The gradients of several tasks at the same tensors, in the pieces that autograd returns."""

from collections.abc import Sequence

import torch
from torch import Tensor


class TaskGradients:
    """The gradients of T tasks at some tensors, P entries each.

    They stay in the pieces that autograd returns. A copy into a matrix, even one that is kept from step to step, takes
    longer than it saves. `matrix` makes it for the methods that need single entries.

    Args:
        like: Tensors at which the gradients are.
        pieces: For each task, a gradient for each of these tensors; None if the task does not reach the tensor.
        scale: Factor of a gradient scaler contained in all pieces.
    """

    def __init__(self, like: Sequence[Tensor], pieces: Sequence[Sequence[Tensor | None]], scale: float = 1.0) -> None:
        self.like, self._pieces, self.scale = list(like), pieces, scale
        # Half precision is too coarse for inner products over millions of entries.
        self.dtype = torch.float32
        for tensor in self.like:
            self.dtype = torch.promote_types(self.dtype, tensor.dtype)

    @property
    def pieces(self) -> Sequence[Sequence[Tensor | None]]:
        """For each task, a gradient for each tensor; None if the task does not reach the tensor."""
        return self._pieces

    def gram(self) -> Tensor:
        """Return the inner products, [T, T], float64, so that gradients from 1e-20 to 1e20 keep their digits."""
        device = self.like[0].device
        # Block by block: a float64 copy of the whole would double the memory, and would not fit into a CPU's cache.
        size = max((1 << 18) // len(self.pieces), 1) if device.type == "cpu" else 1 << 20
        block = torch.zeros(len(self.pieces), size, dtype=torch.float64, device=device)
        gram = block.new_zeros(len(self.pieces), len(self.pieces))
        filled = 0
        for tensor, column in zip(self.like, zip(*self.pieces, strict=True), strict=True):
            present = [(task, _flat(piece, tensor)) for task, piece in enumerate(column) if piece is not None]
            total = present[0][1].numel() if present else 0
            done = 0
            while done < total:
                if filled == size:
                    gram.addmm_(block, block.T)
                    filled = 0
                count = min(size - filled, total - done)
                part = block[:, filled : filled + count]
                if len(present) < len(self.pieces):
                    part.zero_()
                for task, piece in present:
                    part[task].copy_(piece[done : done + count])
                filled, done = filled + count, done + count
        gram.addmm_(block[:, :filled], block[:, :filled].T)
        return gram.div_(self.scale**2)

    def cross(self, other: "TaskGradients") -> Tensor:
        """Return the inner products with the gradients of another batch, [T, T of the other], float64.

        Args:
            other: Gradients at the same tensors, in any order. A tensor that only one of the two has does not count.
        """
        device = self.like[0].device
        total = torch.zeros(len(self.pieces), len(other.pieces), dtype=torch.float64, device=device)
        columns = dict(zip(other.like, zip(*other.pieces, strict=True), strict=True))
        size = 1 << (16 if device.type == "cpu" else 20)
        for tensor, column in zip(self.like, zip(*self.pieces, strict=True), strict=True):
            if tensor in columns:
                for start in range(0, tensor.numel(), size):
                    mine, others = (_part(c, tensor, start, size, device) for c in (column, columns[tensor]))
                    total.addmm_(mine, others.T)
        return total.div_(self.scale * other.scale)

    def weighted_sum(self, weights: Tensor) -> dict[Tensor, Tensor]:
        """Return weighted sums of the pieces by tensor, with the scale. Tensors that no task reaches are left out."""
        found: dict[Tensor, Tensor] = {}
        for tensor, column in zip(self.like, zip(*self.pieces, strict=True), strict=True):
            for piece, weight in zip(column, weights.to(tensor.device), strict=True):
                if piece is None:
                    continue
                if tensor in found:
                    found[tensor].addcmul_(piece, weight)
                else:
                    found[tensor] = piece.to(torch.promote_types(piece.dtype, torch.float32)) * weight
        return {tensor: total.to(tensor.dtype) for tensor, total in found.items()}

    def matrix(self) -> Tensor:
        """Return the gradients as a new matrix, [T, P]."""
        size = sum(tensor.numel() for tensor in self.like)
        matrix = torch.empty(len(self.pieces), size, dtype=self.dtype, device=self.like[0].device)
        for row, pieces in zip(matrix, self.pieces, strict=True):
            parts = row.split([tensor.numel() for tensor in self.like])
            for part, piece in zip(parts, pieces, strict=True):
                if piece is None:
                    part.zero_()
                else:
                    part.view(piece.shape).copy_(piece)
        return matrix if self.scale == 1 else matrix.div_(self.scale)

    def sample(self, size: int) -> Tensor:
        """Return evenly spaced entries of the gradients, with the scale, as a new matrix [T, about `size`].

        The entries are always the same ones. The cosine of two samples is close to that of the whole gradients.
        """
        total = sum(tensor.numel() for tensor in self.like)
        # Odd, so that it shares no factor with the channels of a layer, mostly a power of two.
        stride = 1 if total <= size else -(-total // size) | 1
        columns = []
        for tensor, column in zip(self.like, zip(*self.pieces, strict=True), strict=True):
            entries = tensor.new_zeros(-(-tensor.numel() // stride), dtype=self.dtype)
            taken = [entries if p is None else _flat(p, tensor)[::stride].to(entries) for p in column]
            columns.append(torch.stack(taken).to(self.like[0].device))
        return torch.cat(columns, dim=1)

    def split(self, direction: Tensor) -> list[Tensor]:
        """Return a direction, [P], times the scale, in pieces of the shapes and dtypes of the tensors."""
        scaled = direction if self.scale == 1 else direction * self.scale
        parts = scaled.split([tensor.numel() for tensor in self.like])
        return [part.view(tensor.shape).to(tensor.dtype) for part, tensor in zip(parts, self.like, strict=True)]


def _flat(piece: Tensor, like: Tensor) -> Tensor:
    # In the order of memory, so that channels-last tensors are not copied.
    strides = like.stride()
    return piece.permute(sorted(range(like.dim()), key=strides.__getitem__, reverse=True)).reshape(-1)


def _part(pieces: Sequence[Tensor | None], like: Tensor, start: int, size: int, device: torch.device) -> Tensor:
    # Zeros if a task does not reach the tensor.
    count = min(size, like.numel() - start)
    part = torch.zeros(len(pieces), count, dtype=torch.float64, device=device)
    for task, piece in enumerate(pieces):
        if piece is not None:
            part[task].copy_(_flat(piece, like)[start : start + count])
    return part
