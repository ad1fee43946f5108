"""MoCo: projected steps on the weights, with moving averages of the gradients."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.balancer import Balancer
from equipoise.balancing.engine.update import StepInputs, Update
from equipoise.balancing.hyper_parameters import NON_NEGATIVE, hyper, within
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.solvers import project_to_simplex
from equipoise.balancing.state.per_task import read_gradient_matrix, read_tasks, write_tasks

__all__ = ["MoCo", "MoCoState", "moco"]


class MoCoState(NamedTuple):
    """State of MoCo.

    Attributes:
        tracked: Moving averages of the gradients, shape `[T, D]`, at least float32.
        weights: Simplex weights, shape `[T]`.
        steps: Number of steps taken, a scalar.
    """

    tracked: Tensor
    weights: Tensor
    steps: Tensor

    @classmethod
    def start(cls, jacobian: Tensor) -> "MoCoState":
        """Return the state before the first step, for gradients of this shape, dtype and device."""
        tasks = jacobian.shape[0]
        dtype = torch.promote_types(jacobian.dtype, torch.float32)
        tracked = torch.zeros_like(jacobian, dtype=dtype)
        return cls(
            tracked, torch.full_like(tracked[:, 0], 1 / tasks), torch.zeros((), dtype=dtype, device=jacobian.device)
        )


@torch.no_grad()
def moco(
    jacobian: Tensor,
    state: MoCoState,
    *,
    beta: float = 0.1,
    beta_decay: float = 0.5,
    gamma: float = 0.2,
    gamma_decay: float = 0.5,
    regularization: float = 0.0,
) -> tuple[Tensor, MoCoState]:
    r"""Direction of MoCo (Fernando et al., ICLR 2023), and its new state.

    $$
    Y \leftarrow Y + \beta_t (J - Y),\quad w \leftarrow P_S\big(w - \gamma_t (Y Y^T + \rho I) w\big),\quad
    d = Y^T w,\qquad \beta_t = \beta / t^{\sigma_\beta},\ \gamma_t = \gamma / t^{\sigma_\gamma}
    $$

    The authors' code has the factor 2 of the derivative, so that its gamma of 0.1 is 0.2 here. LibMTL scales every
    gradient to the norm of its loss and replaces the projection by a softmax. That is another method. The rate gamma
    depends on the scale of the gradients. The function runs on the device of `jacobian` without waiting for it.

    Args:
        jacobian: Gradients of the tasks, one in each row, shape `[T, D]`.
        state: State of the last call. Start with `MoCoState.start(jacobian)`.
        beta: Rate of the averages.
        beta_decay: Exponent of its decay.
        gamma: Rate of the weights.
        gamma_decay: Exponent of its decay.
        regularization: $\rho$, non-negative.

    Returns:
        The direction `state.tracked.T @ state.weights` of the new state, shape `[D]`, and the new state.

    Raises:
        ValueError: If `jacobian` does not fit `state`.

    Example:
        >>> import torch
        >>> jacobian = torch.eye(2)
        >>> direction, state = moco(jacobian, MoCoState.start(jacobian), beta=1.0)
        >>> direction
        tensor([0.5000, 0.5000])
    """
    if jacobian.shape != state.tracked.shape:
        raise ValueError(
            f"`jacobian` should have the shape of `state.tracked`, {list(state.tracked.shape)}. "
            f"Found {list(jacobian.shape)}."
        )
    count = state.steps + 1
    tracked = state.tracked.lerp(jacobian.to(state.tracked), beta / count**beta_decay)
    slope = tracked @ (tracked.T @ state.weights) + regularization * state.weights
    weights = project_to_simplex(state.weights - gamma / count**gamma_decay * slope)
    return (tracked.T @ weights).to(jacobian.dtype), MoCoState(tracked, weights, count)


@register
class MoCo(Balancer):
    """The update Y^T w, with moving averages Y of the task gradients and simplex weights w that reduce its norm.

    If a task is missing in a batch, the others share its weight for that step. The averages take T times the memory of
    the shared parameters. The update is no weighted sum of the step's own gradients, so there are no weights to report.
    The tasks' own parameters receive their plain gradient.

    The authors' code has the factor 2 of the derivative in the step of the weights, so that its gamma of 0.1 is 0.2
    here. LibMTL scales every gradient to the norm of its loss and replaces the projection by a softmax. That is another
    method. Gamma depends on the scale of the gradients.

    Args:
        beta: Rate of the averages. It is divided by step^beta_decay. With 1 and no decay nothing is averaged.
        beta_decay: Exponent, non-negative.
        gamma: Rate of the weights. It is divided by step^gamma_decay.
        gamma_decay: Exponent, non-negative.
        regularization: Pull of the weights towards equality.

    Raises:
        ValueError: On `backward`, the shared parameters are not those of the steps before.
    """

    info = MethodInfo(
        name="moco",
        title="MoCo",
        paper='Fernando et al., "Mitigating Gradient Bias in Multi-objective Learning", ICLR 2023',
        default_place=Place.SHARED,
        scale="mean: the weights sum to 1; the first steps are short, as the averages begin at zero",
        heads="plain",
        state="tracked gradients (T x P), weights, step counter",
        weighs=False,
    )

    beta: float = hyper(default=0.1, rule=within(0, 1, ends="(]"), source="authors' code")
    beta_decay: float = hyper(default=0.5, rule=NON_NEGATIVE, source="authors' code")
    gamma: float = hyper(
        default=0.2,
        rule=NON_NEGATIVE,
        source="authors' code: 0.1, with the factor 2",
    )
    gamma_decay: float = hyper(default=0.5, rule=NON_NEGATIVE, source="authors' code")
    regularization: float = hyper(default=0.0, rule=NON_NEGATIVE, source="authors' code")

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"tracked": {}, "weights": {}, "step": 0}

    def decide(self, inputs: StepInputs) -> Update:
        """Return the direction of the averaged gradients."""
        tasks, rows, held = inputs.tasks, inputs.rows, self.state
        fresh = MoCoState.start(rows)
        weights = read_tasks(held["weights"], tasks, fresh.weights[0])
        total = weights.sum()
        shares = torch.where(total > 0, weights / total, fresh.weights)
        state = MoCoState(
            read_gradient_matrix(held["tracked"], tasks, fresh.tracked), shares, fresh.steps + held["step"]
        )
        direction, new = moco(
            rows,
            state,
            beta=self.beta,
            beta_decay=self.beta_decay,
            gamma=self.gamma,
            gamma_decay=self.gamma_decay,
            regularization=self.regularization,
        )
        self.state = {
            "tracked": write_tasks(held["tracked"], tasks, new.tracked),
            "weights": write_tasks(held["weights"], tasks, new.weights * torch.where(total > 0, total, 1.0)),
            "step": held["step"] + 1,
        }
        return Update(direction=direction)
