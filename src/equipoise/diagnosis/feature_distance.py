"""How far the features that tasks share are from those that each task would have for itself."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import polars
import torch
from torch import Tensor, nn

from equipoise.balancing.methods.url import url_distance
from equipoise.balancing.state.adam import adam
from equipoise.diagnosis.frames import write_records

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = polars.Schema({"step": polars.Int64, "task": polars.String, "distance": polars.Float64})
"""A row a recorded step, counted from 1, and task."""


class FeatureDistance:
    """Records how far shared features are from those of single-task networks, while a network trains (P1, figure 6).

    The features of two networks cannot be compared as they are: their channels have no order. So every task has
    adaptors, linear maps (1x1, without bias) from the shared features to those of its own network, which learn beside
    the training to bring them together. What they learn on is detached: neither network notices.

    The distance is the one that URL learns by, `equipoise.functional.url_distance`, as a mean over the tensors of
    shared features: the squared L2 distance at each position between unit vectors, 0 where all directions agree, 2
    where they have nothing to do with each other. It is measured before the adaptors learn from a batch, so that it is
    always that of a batch they have not seen.

    On a recorded step the adaptors make `every` updates, as many as the network has made since the last one. With one
    they lag behind, and the distance tells how far they have come; with as many it is within 3 % of that of adaptors
    that learn at every step, at a fraction of the cost, which is a forward pass of each single-task network. The
    recipe is that of the authors of URL, except that the rate stays: theirs falls along a cosine, after which the
    distance would fall by itself.

    Nothing is read from the device before `flush`, or before the numbers are asked for. Across processes, each measures
    its own part of the batch.

    Args:
        every: Steps from one recorded step to the next; the first is recorded.
        learning_rate: Of the adaptors (Adam).
        weight_decay: Of the adaptors.
        seed: Of the adaptors' initial weights (Xavier, uniform); no other random numbers are drawn.
        path: The Parquet file that `flush` writes; none keeps everything in memory.

    Raises:
        ValueError: `every` is below 1.

    >>> encoder, own = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 5, 1)
    >>> distance = FeatureDistance(every=2)
    >>> for images in torch.randn(4, 2, 3, 6, 6):
    ...     distance.observe(encoder(images), lambda: {"depth": own(images)})
    >>> distance.to_frame()["step"].to_list()
    [1, 3]
    """

    def __init__(
        self,
        *,
        every: int = 10,
        learning_rate: float = 1e-2,
        weight_decay: float = 5e-4,
        seed: int = 0,
        path: str | Path | None = None,
    ) -> None:
        if every < 1:
            raise ValueError(f"`every` should be at least 1. Found `every = {every}`.")
        self.every, self.learning_rate, self.weight_decay, self.seed = every, learning_rate, weight_decay, seed
        self.path = None if path is None else Path(path)
        self.steps = 0
        """How many steps have gone by."""
        self._adaptors: dict[str, list[Tensor]] = {}
        self._moments: dict[str, list[dict[str, Any] | None]] = {}
        self._waiting: list[tuple[int, str, Tensor]] = []
        self._recorded = polars.DataFrame(schema=SCHEMA)

    def observe(self, features: Tensor | Sequence[Tensor], own: Callable[[], Mapping[str, Tensor]]) -> None:
        """Count a step, and measure it if it is to be recorded.

        Args:
            features: What the tasks share, [B, C, H, W] or [B, C] each.
            own: Gives for each task what its own, frozen network in evaluation mode makes of the same batch: the last
                features of its trunk, [B, D, H', W'] or [B, D]. Called without gradients, and on recorded steps alone.

        Raises:
            ValueError: Features are of other shapes.
        """
        self.steps += 1
        if (self.steps - 1) % self.every:
            return
        shared = [feature.detach() for feature in ([features] if isinstance(features, Tensor) else features)]
        with torch.no_grad():
            targets = own()
        for tensor in (*shared, *targets.values()):
            if tensor.ndim not in (2, 4):
                raise ValueError(f"Features should be of shape [B, C, H, W] or [B, C]. Found {list(tensor.shape)}.")
        with torch.enable_grad():
            for task, target in targets.items():
                first = self._learn(task, shared, target.detach().to(torch.float32))
                self._waiting.append((self.steps, task, first / len(shared)))

    def to_frame(self) -> polars.DataFrame:
        """`step`, `task`, `distance`: a row for each recorded step and task."""
        if self._waiting:
            rows = [(step, task, distance.item()) for step, task, distance in self._waiting]
            self._recorded = polars.concat([self._recorded, polars.DataFrame(rows, schema=SCHEMA, orient="row")])
            self._waiting.clear()
        return self._recorded

    def plot(self) -> "Figure":
        """Draw what was recorded."""
        # matplotlib takes a while to load, and training does not need it.
        from equipoise.figures import feature_distance

        return feature_distance(self.to_frame())

    def flush(self) -> None:
        """Write everything to the file, in one move; nothing without a file."""
        if self.path is not None:
            write_records(self.to_frame(), self.path)

    def state_dict(self) -> dict[str, Any]:
        """What must be kept, besides the file, to go on from here."""
        kept = {"adaptors": self._adaptors, "moments": self._moments}
        return {"steps": self.steps} | {
            name: {task: list(levels) for task, levels in of_tasks.items()} for name, of_tasks in kept.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there; what the file holds of later steps, which will be made again, is dropped."""
        self.steps = state["steps"]
        self._adaptors = {task: list(levels) for task, levels in state["adaptors"].items()}
        self._moments = {task: list(levels) for task, levels in state["moments"].items()}
        self._waiting.clear()
        if self.path is not None and self.path.exists():
            self._recorded = read_distances(self.path).filter(polars.col("step") <= self.steps)

    def _learn(self, task: str, shared: Sequence[Tensor], target: Tensor) -> Tensor:
        """Let the adaptors of a task learn from a batch; return the distance that they had before."""
        if task not in self._adaptors:
            self._adaptors[task] = self._initial(task, shared, target)
            self._moments[task] = [None] * len(shared)
        before = target.new_zeros(())
        for update in range(self.every):
            leaves = [adaptor.to(target.device).requires_grad_() for adaptor in self._adaptors[task]]
            distance = url_distance(shared, target, leaves)
            if update == 0:
                before = distance.detach()
            gradients = torch.autograd.grad(distance, leaves)
            for level, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
                # One broken batch, which a balancer may skip, must not break all that follow.
                usable = torch.where(gradient.isfinite().all(), gradient, 0)
                self._adaptors[task][level], self._moments[task][level] = adam(
                    leaf.detach(), usable, self._moments[task][level], self.learning_rate, self.weight_decay
                )
        return before

    def _initial(self, task: str, shared: Sequence[Tensor], target: Tensor) -> list[Tensor]:
        # A generator of its own for each task: what a task starts from does not depend on which others there are.
        generator = torch.Generator().manual_seed(self.seed + crc32(task.encode()))
        sizes = [(target.shape[1], feature.shape[1]) for feature in shared]
        return [nn.init.xavier_uniform_(torch.empty(size), generator=generator).to(target.device) for size in sizes]


def read_distances(path: Path) -> polars.DataFrame:
    """What a `FeatureDistance` has recorded: `step`, `task`, `distance`.

    Args:
        path: The Parquet file.

    Raises:
        ValueError: There is no such file, or it is another's.
    """
    try:
        found = polars.read_parquet(path)
    except (OSError, polars.exceptions.PolarsError) as error:
        raise ValueError(f"`path` should be a file of feature distances. Found {str(path)!r} ({error}).") from error
    if found.schema != SCHEMA:
        raise ValueError(f"`path` should be a file of feature distances. Found {str(path)!r}: other columns.")
    return found
