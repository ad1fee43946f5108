"""The engine: the task gradients that a method must see, each computed once, and one place that applies the decision.

A step is cut at the features, where the trunk ends and the heads begin. Every head is differentiated once. What then
goes through the trunk is one vector-Jacobian product for the weighted sum of the tasks, or one a task for methods that
must see all shared gradients. Without features, or where they are no clean cut (one is computed from another, or a head
also reads something else of the trunk), the whole graph of a loss plays the head: the results are equal, only some work
is done twice.

Cost in backward passes of heads (H) and trunk (E), T tasks:

| what the method sees | with features | without |
|---|---|---|
| losses | H + E | H + E |
| the last shared layer | H + E + T x (that layer's weight gradient) | 2 H + E |
| the features | H + E | not possible |
| all shared parameters | H + T E | H + T E |
"""

import enum
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from equipoise.balancing import processes
from equipoise.balancing.graph import edge, silenced, upstream


class Source(enum.Enum):
    """What a method must see of a step before it can decide."""

    LOSSES = "losses"
    LAST_LAYER = "last layer"
    FEATURES = "features"
    SHARED = "shared parameters"


class Rows:
    """The gradients of T tasks at some tensors, P entries each.

    They stay in the pieces in which autograd hands them out: to copy them into a matrix takes about as long as a tenth
    of a backward pass. `matrix` does it for the methods that need single entries.

    Args:
        like: The tensors at which the gradients are.
        pieces: For each task a gradient for each of these tensors; none where the task does not reach it.
        scale: What all pieces must be divided by to be the gradients.
    """

    def __init__(self, like: Sequence[Tensor], pieces: Sequence[Sequence[Tensor | None]], scale: float = 1.0) -> None:
        self.like, self.pieces, self.scale = list(like), pieces, scale
        # Half precision is too coarse for inner products over millions of entries.
        self.dtype = torch.float32
        for tensor in self.like:
            self.dtype = torch.promote_types(self.dtype, tensor.dtype)

    def gram(self) -> Tensor:
        """Inner products, [T, T], float64, so that gradients from 1e-20 to 1e20 keep their digits."""
        device = self.like[0].device
        # Block by block: a float64 copy of the whole would be twice the largest thing in memory, and slow on a
        # processor's cache.
        size = max((1 << 18) // len(self.pieces), 1) if device.type == "cpu" else 1 << 20
        block = torch.zeros(len(self.pieces), size, dtype=torch.float64, device=device)
        gram = block.new_zeros(len(self.pieces), len(self.pieces))
        filled = 0
        for column in zip(*self.pieces, strict=True):
            present = [(task, piece.reshape(-1)) for task, piece in enumerate(column) if piece is not None]
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

    def cross(self, other: "Rows") -> Tensor:
        """Inner products with the gradients of another batch, [T, T of the other], float64.

        Args:
            other: Gradients at the same tensors, in any order; a tensor that only one has does not count.
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

    def combined(self, weights: Tensor) -> dict[Tensor, Tensor]:
        """Weighted sums of the undivided pieces, by tensor; tensors that no task reaches are left out."""
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
        """The gradients as a new matrix, [T, P]."""
        size = sum(tensor.numel() for tensor in self.like)
        matrix = torch.empty(len(self.pieces), size, dtype=self.dtype, device=self.like[0].device)
        for row, pieces in zip(matrix, self.pieces, strict=True):
            parts = row.split([tensor.numel() for tensor in self.like])
            for part, piece in zip(parts, pieces, strict=True):
                if piece is None:
                    part.zero_()
                else:
                    part.copy_(piece.reshape(-1))
        return matrix if self.scale == 1 else matrix.div_(self.scale)

    def sample(self, size: int) -> Tensor:
        """Evenly spaced entries of the undivided gradients, always the same ones, as a new matrix [T, about `size`].

        The cosine of two samples is close to that of what they were taken from, and takes no more room.
        """
        total = sum(tensor.numel() for tensor in self.like)
        # Odd, so that it is not in step with the channels of a layer, of which there are mostly powers of two.
        stride = 1 if total <= size else -(-total // size) | 1
        columns = []
        for tensor, column in zip(self.like, zip(*self.pieces, strict=True), strict=True):
            entries = tensor.new_zeros(-(-tensor.numel() // stride), dtype=self.dtype)
            taken = [entries if piece is None else piece.reshape(-1)[::stride].to(entries) for piece in column]
            columns.append(torch.stack(taken).to(self.like[0].device))
        return torch.cat(columns, dim=1)

    def split(self, direction: Tensor) -> list[Tensor]:
        """A direction, [P], in pieces of the shapes and dtypes of the tensors, multiplied by the scale."""
        scaled = direction if self.scale == 1 else direction * self.scale
        parts = scaled.split([tensor.numel() for tensor in self.like])
        return [part.view(tensor.shape).to(tensor.dtype) for part, tensor in zip(parts, self.like, strict=True)]


class Step:
    """One backward step: which leaves are shared, which are a task's own, and the gradients computed so far.

    Args:
        losses: Losses of one entry by task, each with a graph.
        features: The tensors that the heads read, or none.
        shared: Parameters to count as shared besides those found from the features; without features, instead of those
            found.
        retain_graph: Keep the graph for another backward pass.
        summed: Whether parameters that several tasks use behind the features receive the plain sum of the task
            gradients. Otherwise they count as shared.

    Attributes:
        features: Where the step is cut; empty if it is not.
        shared: The leaves that count as shared.
        heads: For each task the leaves that are its own.
        between: The leaves that several tasks use and that receive the plain sum.

    Raises:
        ValueError: The losses depend on the trunk, but not through the features.
    """

    def __init__(
        self,
        losses: Mapping[str, Tensor],
        features: Sequence[Tensor],
        shared: Iterable[Tensor],
        retain_graph: bool,
        summed: bool = False,
    ) -> None:
        self.tasks = tuple(losses)
        self.losses = list(losses.values())
        self.retain_graph = retain_graph
        cut = {edge(feature): feature for feature in features if feature.requires_grad}
        trunk = upstream(cut.values(), frozenset(cut))
        reaches = [upstream([loss], frozenset(cut)) for loss in self.losses]
        bypassed = any(not reach.leaves.keys().isdisjoint(trunk.leaves) for reach in reaches)
        if bypassed and not any(reach.stopped_at for reach in reaches):
            raise ValueError(
                "`features` should be the tensors that the task heads read. Found none that a loss was computed "
                "from. Under DistributedDataParallel with `find_unused_parameters` the outputs are copies: pass "
                "`shared=encoder.parameters()` and no features."
            )
        if bypassed or trunk.stopped_at:
            # What reaches the trunk by two ways, or through two features, would be counted twice.
            cut = {}
            reaches = [upstream([loss]) for loss in self.losses]
        self.features = list(cut.values())

        times_met: dict[Tensor, int] = {}
        for reach in reaches:
            for leaf in reach.leaves:
                times_met[leaf] = times_met.get(leaf, 0) + 1
        given = {leaf: None for leaf in shared if leaf in times_met}
        several = {leaf: None for leaf, times in times_met.items() if times > 1}
        if features:
            chosen = trunk.leaves | ({} if summed else several) | given
        else:
            chosen = given or (times_met if len(self.tasks) == 1 else several)
        self.shared = list(chosen)
        self.between = [leaf for leaf in several if leaf not in chosen] if summed else []
        apart = {*chosen, *self.between}
        self.heads = [[leaf for leaf in reach.leaves if leaf not in apart] for reach in reaches]
        self._trunk_leaves = list(trunk.leaves) if self.features else []
        self._reached = [list(reach.leaves) for reach in reaches]
        # Heads that share no node can each free its part of the graph at once.
        together = sum(len(reach.nodes) for reach in reaches)
        self._disjoint = together == len(set().union(*(reach.nodes for reach in reaches)))
        # By task: the gradients at the features, and those at the leaves that it reaches without them.
        self._at_features: list[list[Tensor | None]] = []
        self._at_leaves: list[dict[Tensor, Tensor]] = []

    def leaves(self) -> list[Tensor]:
        """Every leaf that may receive a gradient, in an order that depends on the graph alone."""
        own = [leaf for leaves in self.heads for leaf in leaves]
        return list(dict.fromkeys([*self.shared, *self.between, *own]))

    # What methods see

    def last_layer_rows(self, layer: Sequence[Tensor], scale: float = 1.0) -> Rows:
        """Task gradients at the parameters of one layer, already reduced over processes.

        Raises:
            ValueError: A task does not reach the layer.
        """
        if self.features:
            self._differentiate_heads()
            pieces = [self._through_trunk(row, layer, retain_graph=True) for row in self._at_features]
        else:
            pieces = [_gradients([loss], layer, None, retain_graph=True) for loss in self.losses]
        for task, row in zip(self.tasks, pieces, strict=True):
            if all(piece is None for piece in row):
                raise ValueError(
                    f"`last_layer` should be a layer of the trunk that every loss depends on. Found one that `{task}` "
                    "does not depend on. Name an earlier layer, or leave the task out."
                )
        return Rows(layer, _reduced(pieces), scale)

    def feature_rows(self, scale: float = 1.0) -> Rows:
        """Task gradients at the features; each process has those of its own part of the batch."""
        self._differentiate_heads()
        # Each process's loss is the mean over its part of the batch; the loss of the step is the mean of these.
        return Rows(self.features, list(self._at_features), scale * processes.world_size())

    def shared_rows(self, scale: float = 1.0) -> Rows:
        """Task gradients at all shared parameters, already reduced over processes."""
        rows: list[list[Tensor | None]] = []
        for number in range(len(self.tasks)):
            # A probe that looks at the features has had it differentiated.
            if number == len(self._at_leaves):
                self._differentiate_head(number)
            keep = self.retain_graph or number < len(self.tasks) - 1
            through = self._through_trunk(self._at_features[number], self._trunk_leaves, retain_graph=keep)
            found = dict(zip(self._trunk_leaves, through, strict=True))
            direct = self._at_leaves[number]
            # Nothing needs them again: what is left are the task's own.
            found |= {leaf: direct.pop(leaf) for leaf in self.shared if leaf in direct}
            self._at_features[number] = []
            rows += _reduced([[found.get(leaf) for leaf in self.shared]])
        return Rows(self.shared, rows, scale)

    # What is done with the decision

    def weighted(self, weights: Tensor, head_weights: Tensor | None = None) -> dict[Tensor, Tensor]:
        """Gradients of the weighted sum of losses, reduced over processes, by leaf.

        Args:
            weights: [T], how much of each task's gradient the shared parameters get.
            head_weights: [T], how much of it the task's own parameters get; as much when not given.
        """
        if (head_weights is not None or self.between) and self.features:
            self._differentiate_heads()
        if self._at_leaves:
            seeds = Rows(self.features, self._at_features).combined(weights)
            found = self._from_heads(weights, weights if head_weights is None else head_weights)
            at_features = [seeds.get(feature) for feature in self.features]
            through = self._through_trunk(at_features, self._trunk_leaves, self.retain_graph)
            found |= _present(self._trunk_leaves, through)
        elif head_weights is None and not self.between:
            found = self._of_total(weights, self.leaves(), self.retain_graph)
        else:
            found = self._of_total(weights, self.shared, retain_graph=True)
            found |= self._of_total(torch.ones_like(weights), self.between, retain_graph=True)
            own = list(dict.fromkeys(leaf for leaves in self.heads for leaf in leaves))
            found |= self._of_total(weights if head_weights is None else head_weights, own, self.retain_graph)
        return processes.means(found)

    def combined(self, rows: Rows, weights: Tensor, head_weights: Tensor) -> dict[Tensor, Tensor]:
        """Gradients when the shared parameters receive the weighted sum of `shared_rows`."""
        return processes.means(self._from_heads(weights, head_weights)) | rows.combined(weights)

    def directed(self, rows: Rows, direction: Tensor, head_weights: Tensor) -> dict[Tensor, Tensor]:
        """Gradients when the shared parameters receive a given direction, [P] in the order of `shared_rows`."""
        heads = processes.means(self._from_heads(head_weights, head_weights))
        return heads | dict(zip(self.shared, rows.split(direction), strict=True))

    def directed_features(self, rows: Rows, direction: Tensor, head_weights: Tensor) -> dict[Tensor, Tensor]:
        """Gradients when the features receive a given gradient, [P] in the order of `feature_rows`."""
        found = self._from_heads(head_weights, head_weights)
        through = self._through_trunk(rows.split(direction), self._trunk_leaves, self.retain_graph)
        return processes.means(found | _present(self._trunk_leaves, through))

    def own(self) -> list[dict[Tensor, Tensor]]:
        """Each task's gradients at the leaves that are its own, reduced over processes; after `shared_rows`."""
        shared = {*self.shared, *self.between}
        return [
            processes.means({leaf: gradient for leaf, gradient in found.items() if leaf not in shared})
            for found in self._at_leaves
        ]

    def implicated(self, gradients: Mapping[Tensor, Tensor]) -> tuple[str, ...]:
        """The tasks to blame for gradients that are not finite: those whose own leaves have them, else all."""
        bad = {leaf for leaf, gradient in gradients.items() if not bool(gradient.isfinite().all())}
        own = tuple(t for t, leaves in zip(self.tasks, self.heads, strict=True) if not bad.isdisjoint(leaves))
        return own or self.tasks

    # The passes themselves

    def _differentiate_heads(self) -> None:
        for number in range(len(self._at_leaves), len(self.tasks)):
            self._differentiate_head(number)

    def _differentiate_head(self, number: int) -> None:
        reached = self._reached[number]
        keep = self.retain_graph or not (self._disjoint or number == len(self.losses) - 1)
        # The features' own hooks are heard when the trunk is differentiated.
        with silenced(self.features):
            found = _gradients([self.losses[number]], [*self.features, *reached], None, keep)
        self._at_features.append(list(found[: len(self.features)]))
        self._at_leaves.append(_present(reached, found[len(self.features) :]))

    def _through_trunk(
        self, seeds: Sequence[Tensor | None], leaves: Sequence[Tensor], retain_graph: bool
    ) -> Sequence[Tensor | None]:
        used = _present(self.features, seeds)
        if not used or not leaves:
            return [None] * len(leaves)
        return _gradients(list(used), leaves, list(used.values()), retain_graph)

    def _of_total(self, weights: Tensor, leaves: Sequence[Tensor], retain_graph: bool) -> dict[Tensor, Tensor]:
        if not leaves:
            return {}
        seeds = [weight.to(loss).expand_as(loss) for weight, loss in zip(weights, self.losses, strict=True)]
        return _present(leaves, _gradients(self.losses, leaves, seeds, retain_graph))

    def _from_heads(self, weights: Tensor, head_weights: Tensor) -> dict[Tensor, Tensor]:
        shared, between = set(self.shared), set(self.between)
        one = torch.ones_like(weights[0])
        found: dict[Tensor, Tensor] = {}
        for gradients, weight, head_weight in zip(self._at_leaves, weights, head_weights, strict=True):
            for leaf, gradient in gradients.items():
                part = _times(gradient, one if leaf in between else weight if leaf in shared else head_weight)
                found[leaf] = found[leaf].add_(part) if leaf in found else part
        return found


def layer_parameters(layer: nn.Module | Tensor | Sequence[Tensor]) -> list[Tensor]:
    """The trainable parameters of what the caller named as last shared layer.

    Raises:
        ValueError: It has none.
    """
    if isinstance(layer, nn.Module):
        parameters: list[Tensor] = list(layer.parameters())
    else:
        parameters = [layer] if isinstance(layer, Tensor) else list(layer)
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    if not trainable:
        raise ValueError(
            "`last_layer` should hold parameters that require a gradient. Found none: name a layer of the trunk that "
            "is not frozen, or use a method that sees losses alone, such as `uniform` or `fixed`."
        )
    return trainable


def _gradients(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], seeds: Sequence[Tensor] | None, retain_graph: bool
) -> Sequence[Tensor | None]:
    with silenced(tensor for tensor in inputs if tensor.is_leaf):
        return torch.autograd.grad(outputs, inputs, seeds, retain_graph=retain_graph, allow_unused=True)


def _part(pieces: Sequence[Tensor | None], like: Tensor, start: int, size: int, device: torch.device) -> Tensor:
    # Zeros where a task does not reach the tensor.
    count = min(size, like.numel() - start)
    part = torch.zeros(len(pieces), count, dtype=torch.float64, device=device)
    for task, piece in enumerate(pieces):
        if piece is not None:
            part[task].copy_(piece.reshape(-1)[start : start + count])
    return part


def _present(tensors: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> dict[Tensor, Tensor]:
    pairs = zip(tensors, gradients, strict=True)
    return {tensor: gradient for tensor, gradient in pairs if gradient is not None}


def _reduced(rows: Sequence[Sequence[Tensor | None]]) -> list[list[Tensor | None]]:
    if processes.world_size() == 1:
        return [list(row) for row in rows]
    every = {(task, place): piece for task, row in enumerate(rows) for place, piece in enumerate(row)}
    present = {key: piece for key, piece in every.items() if piece is not None}
    means = processes.means(present)
    return [[means.get((task, place)) for place in range(len(row))] for task, row in enumerate(rows)]


def _times(gradient: Tensor, weight: Tensor) -> Tensor:
    # Not `weight.to(gradient)`: a weight rounded to half precision would be off by a thousandth.
    return (gradient * weight.to(gradient.device)).to(gradient.dtype)
