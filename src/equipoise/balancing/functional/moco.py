"""MoCo: projected steps on the weights with tracked gradients."""

from typing import NamedTuple

import torch
from torch import Tensor

from equipoise.balancing.solvers import project_to_simplex


class MoCoState(NamedTuple):
    """The memory of MoCo.

    Attributes:
        tracked: The running averages of the gradients, shape ``[T, D]``, at least float32.
        weights: The simplex weights, shape ``[T]``.
        steps: The number of steps taken, a scalar.
    """

    tracked: Tensor
    weights: Tensor
    steps: Tensor

    @classmethod
    def start(cls, jacobian: Tensor) -> "MoCoState":
        """The state before the first step, for gradients like these."""
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

    .. math:: Y \leftarrow Y + \beta_t (J - Y),\quad w \leftarrow P_S\big(w - \gamma_t (Y Y^T + \rho I) w\big),\quad
        d = Y^T w,\qquad \beta_t = \beta / t^{\sigma_\beta},\ \gamma_t = \gamma / t^{\sigma_\gamma}

    The authors' code has the factor 2 of the derivative, so that its gamma of 0.1 is 0.2 here. LibMTL scales every
    gradient to the norm of its loss and replaces the projection by a softmax: another method. The rate gamma depends on
    the scale of the gradients. Runs on the device of ``jacobian`` without waiting for it.

    Args:
        jacobian: Gradients of the tasks, one a row, shape ``[T, D]``.
        state: The state, at first ``MoCoState.start(jacobian)``.
        beta: Rate of the tracking.
        beta_decay: Exponent of its decay.
        gamma: Rate of the weights.
        gamma_decay: Exponent of its decay.
        regularization: :math:`\rho`, non-negative.

    Returns:
        The direction ``state.tracked.T @ state.weights`` of the new state, shape ``[D]``, and the new state.

    Raises:
        ValueError: If ``jacobian`` does not fit ``state``.

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
