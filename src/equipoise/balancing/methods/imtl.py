"""IMTL: IMTL-G applied to the gradients of losses scaled by IMTL-L."""

from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.gram import GramBalancer
from equipoise.balancing.bases.weights import MeasureAt
from equipoise.balancing.engine.update import StepInputs, Update
from equipoise.balancing.hyper_parameters import FINITE_POSITIVE, POSITIVE, hyper
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.methods.edm import edm
from equipoise.balancing.methods.imtl_g import imtl_g
from equipoise.balancing.methods.imtl_l import imtl_l
from equipoise.balancing.state.adam import TaskOptimizer

__all__ = ["IMTL", "imtl"]


@torch.no_grad()
def imtl(gram: Tensor, log_scales: Tensor) -> Tensor:
    r"""Weights of the shared update of IMTL, the hybrid of IMTL-L and IMTL-G (Liu et al., ICLR 2021).

    The scaled losses have the gradients $e^{s_i} g_i$. Let $\alpha$ be the weights of `imtl_g` for these. Then $w_i =
    \alpha_i e^{s_i}$. The task heads take the gradient of the scaled losses, with weights $e^{s_i}$. `s` takes the
    gradient of `imtl_l`. Both are without $\alpha$. The direction does not depend on `s`. Its length does.

    Args:
        gram: Gram matrix of the gradients of the unscaled losses, shape `[T, T]`.
        log_scales: `s`, shape `[T]`.

    Returns:
        Weights, possibly negative, shape `[T]`, dtype and device of `gram`. Solved in float64.

    Raises:
        ValueError: If `gram` is not a finite symmetric matrix.
        SolverError: As for `imtl_g`.

    Example:
        >>> import torch
        >>> imtl(torch.tensor([[4.0, 0.0], [0.0, 1.0]]), torch.tensor([0.0, 0.0]))
        tensor([0.3333, 0.6667])
    """
    scales = log_scales.to(gram).exp()
    return imtl_g(gram * scales * scales[:, None]) * scales


@register
class IMTL(GramBalancer):
    """Weights alpha_i exp(s_i), with learnt s_i and the alpha of IMTL-G for the gradients exp(s_i) g_i.

    The s_i are those of IMTL-L. The balancer trains them on exp(s_i) L_i - s_i, without alpha and without weight decay.
    They change the length of the shared update and the gradients of the heads, but not the direction of the update. The
    remarks on public optimisers in `IMTLL`, and on uphill steps in `IMTLG`, hold here as well.

    Args:
        learning_rate: Learning rate of the s_i.
        optimizer: "adam" or "sgd".
        bound: Largest magnitude of an s_i.
        measure_at: Where gradients are measured. The code of Gama & Grassi (2025) has the features.
        scale_heads: Whether the tasks' own parameters receive the gradient of the scaled loss, with the weight
            exp(s_i), or the plain gradient.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.IMTL().backward({"a": 2 * x[0], "b": x[1]}).weights
        {'a': tensor(0.3333), 'b': tensor(0.6667)}
    """

    info = MethodInfo(
        name="imtl",
        title="IMTL",
        paper='Liu et al., "Towards Impartial Multi-task Learning", ICLR 2021, loss and gradient balance',
        default_place=Place.SHARED,
        scale="absolute: by the scales; the alpha sum to 1",
        heads="scaled by exp(s), without alpha",
        state="logarithmic scales and their moments, count of unsolved steps",
    )
    mean_type = True

    learning_rate: float = hyper(
        default=0.025, rule=FINITE_POSITIVE, source="that of UW in nash-mtl; elsewhere the model's"
    )
    optimizer: Literal["adam", "sgd"] = hyper(default="adam", source="code of Gama & Grassi 2025")
    bound: float = hyper(
        default=20.0, rule=POSITIVE, source="our choice, against the overflow met by Gama & Grassi 2025"
    )
    measure_at: MeasureAt = hyper(default="shared", source="paper, which also has the features")
    scale_heads: bool = hyper(default=True, source="paper")

    @cached_property
    def _optimizer(self) -> TaskOptimizer:
        """Optimiser of the logarithmic scales."""
        return TaskOptimizer(self.learning_rate, self.optimizer, 0.0, self.bound)

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"scales": self._optimizer.initial_state()}

    def solve(self, inputs: StepInputs, gram: Tensor) -> Tensor:
        """Compute the weights of the shared update."""
        return imtl(gram, self._optimizer.values(self.state["scales"], inputs.tasks, gram))

    def fallback(self, gram: Tensor) -> Tensor:
        """Return the weights of EDM: equal projections wherever no uphill step is needed for them."""
        return edm(gram)

    def decide(self, inputs: StepInputs) -> Update:
        """Return the weights, then take a step of the scales."""
        weights = self.weigh(inputs).to(inputs.losses)
        scales = self._optimizer.values(self.state["scales"], inputs.tasks, inputs.losses)
        heads, gradient = imtl_l(inputs.losses, scales)
        self.state = self.state | {"scales": self._optimizer.step(self.state["scales"], inputs.tasks, gradient)}
        return Update(weights, head_weights=heads if self.scale_heads else torch.ones_like(heads))
