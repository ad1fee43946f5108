"""DB-MTL: smoothed gradients of the logarithms of the losses, all as long as the longest."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.balancer import Balancer
from equipoise.balancing.engine.update import StepInputs, Update
from equipoise.balancing.hyper_parameters import NON_NEGATIVE, hyper, within
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.state.per_task import read_gradient_matrix, write_tasks

__all__ = ["DBMTL", "DBMTLState", "db_mtl"]

_MARGIN = 1e-8


class DBMTLState(NamedTuple):
    """State of DB-MTL.

    Attributes:
        buffer: Moving averages of the gradients of the log-losses, shape `[T, D]`, at least float32.
        steps: Number of steps taken, a scalar.
    """

    buffer: Tensor
    steps: Tensor

    @classmethod
    def start(cls, jacobian: Tensor) -> "DBMTLState":
        """Return the state before the first step, for gradients of this shape, dtype and device."""
        dtype = torch.promote_types(jacobian.dtype, torch.float32)
        return cls(torch.zeros_like(jacobian, dtype=dtype), torch.zeros((), dtype=dtype, device=jacobian.device))


@torch.no_grad()
def db_mtl(
    jacobian: Tensor, losses: Tensor, state: DBMTLState, *, beta: float = 0.9, beta_decay: float = 0.0
) -> tuple[Tensor, DBMTLState]:
    r"""Direction of DB-MTL (Lin et al. 2023), sum convention, and its new state.

    $$
    b_i \leftarrow h_i + \frac{\beta}{t^\sigma} (b_i - h_i),\quad h_i = \frac{g_i}{L_i + 10^{-8}},\qquad
    d = \sum_i \frac{\max_k \lVert b_k \rVert}{\lVert b_i \rVert + 10^{-8}}\, b_i
    $$

    Buffers start at zero without bias correction, as in the authors' code. With the default `beta` the first update is
    a tenth of its usual length. Heads take the plain gradients of the log-losses. A task whose buffer is zero adds
    nothing. The function runs on the device of `jacobian` without waiting for it.

    Args:
        jacobian: Gradients of the losses (not of their logarithms), one in each row, shape `[T, D]`.
        losses: Positive losses, shape `[T]`.
        state: State of the last call. Start with `DBMTLState.start(jacobian)`.
        beta: Share of the old buffer, in [0, 1).
        beta_decay: $\sigma$, exponent of its decay.

    Returns:
        The direction, shape `[D]`, and the new state.

    Raises:
        ValueError: If `jacobian` does not fit `state`.

    Example:
        >>> import torch
        >>> jacobian = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
        >>> direction, state = db_mtl(jacobian, torch.ones(2), DBMTLState.start(jacobian), beta=0.0)
        >>> direction
        tensor([2., 2.])
    """
    if jacobian.shape != state.buffer.shape:
        raise ValueError(
            f"`jacobian` should have the shape of `state.buffer`, {list(state.buffer.shape)}. "
            f"Found {list(jacobian.shape)}."
        )
    count = state.steps + 1
    slopes = jacobian.to(state.buffer) / (losses.to(state.buffer)[:, None] + _MARGIN)
    buffer = slopes.lerp_(state.buffer, beta / count**beta_decay)
    norms = torch.linalg.vector_norm(buffer, dim=1)
    weights = norms.max() / (norms + _MARGIN)
    return (weights @ buffer).to(jacobian.dtype), DBMTLState(buffer, count)


@register
class DBMTL(Balancer):
    """The sum of moving averages of the gradients of log L_i, each stretched to the length of the longest.

    The averages start at zero without bias correction, as in LibMTL, which is by the same authors. With the default
    beta the first update is a tenth of its usual length. The averages take T times the memory of the shared parameters.
    The update is no weighted sum of the step's own gradients, so there are no weights to report. The tasks' own
    parameters receive the gradient of log L_i. A task whose gradient is zero still adds its average.

    Args:
        beta: Share of the old average. It is divided by step^beta_decay.
        beta_decay: Exponent, non-negative. The paper tunes beta and has 0.5 here.

    Raises:
        ValueError: On `backward`, a loss is negative, or the shared parameters are not those of the steps before.
    """

    info = MethodInfo(
        name="db_mtl",
        title="Dual-balancing",
        paper='Lin et al., "Dual-Balancing for Multi-Task Learning", 2023',
        default_place=Place.SHARED,
        scale="absolute: every task has the length of the longest log-loss gradient",
        heads="the gradient of the logarithm of the loss",
        state="running averages of gradients (T x P), step counter",
        weighs=False,
    )

    beta: float = hyper(default=0.9, rule=within(0, 1, ends="[)"), source="LibMTL, by the authors")
    beta_decay: float = hyper(default=0.0, rule=NON_NEGATIVE, source="LibMTL, by the authors")

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"averages": {}, "step": 0}

    def decide(self, inputs: StepInputs) -> Update:
        """Return the direction of the averages."""
        inputs.positive_losses("db_mtl")
        tasks, rows, held = inputs.tasks, inputs.rows, self.state
        fresh = DBMTLState.start(rows)
        state = DBMTLState(read_gradient_matrix(held["averages"], tasks, fresh.buffer), fresh.steps + held["step"])
        direction, new = db_mtl(rows, inputs.losses, state, beta=self.beta, beta_decay=self.beta_decay)
        self.state = {"averages": write_tasks(held["averages"], tasks, new.buffer), "step": held["step"] + 1}
        return Update(direction=direction, head_weights=1 / (inputs.losses + _MARGIN))
