"""GradDrop: keep, at every coordinate, only the gradients of one sign."""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.bases.weights import DirectionBalancer
from equipoise.balancing.engine import distributed
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import SEED, hyper, within
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.state.random import draw, generator_state

__all__ = ["GradDrop", "graddrop"]

_CACHED_ENTRIES = 1 << 16


def column_blocks(matrix: Tensor) -> Iterator[slice]:
    """Yield ranges that cover the columns of a matrix, [T, D]: short ranges on a CPU, else a single one.

    Example:
        >>> import torch
        >>> list(column_blocks(torch.zeros(2, 100)))
        [slice(0, 100, None)]
    """
    tasks, size = matrix.shape
    step = max(_CACHED_ENTRIES // tasks, 1) if matrix.device.type == "cpu" else max(size, 1)
    for start in range(0, size, step):
        yield slice(start, min(start + step, size))


@torch.no_grad()
def graddrop(jacobian: Tensor, uniforms: Tensor, leak: float | Tensor = 0.0) -> Tensor:
    r"""Direction of GradDrop (Chen et al., NeurIPS 2020, algorithm 1), sum convention.

    $$
    P = \tfrac12 \Big(1 + \frac{\sum_i g_i}{\sum_i |g_i|}\Big),\qquad
    d = \sum_i \big(\ell_i + (1 - \ell_i)\, M_i\big)\, g_i,\qquad M_i = [P > U][g_i > 0] + [P < U][g_i < 0]
    $$

    at each coordinate. Without leak, every coordinate is the sum of its positive or of its negative entries. This is
    not a function of the Gram matrix. The paper forms `jacobian` from gradients at the shared activations, times the
    sign of the activations, summed over the batch. Gradients of parameters are a simplification. One public code
    rescales the result to the norm of the sum, another inverts the leak. Neither is done here. The function works on
    the device and in the dtype of `jacobian`.

    Args:
        jacobian: Gradients of the tasks, one in each row, shape `[T, D]`.
        uniforms: Draws from [0, 1), the same for all tasks, shape `[D]`.
        leak: Share of a dropped gradient that passes, in [0, 1]: one number, or one for each task, shape `[T]`.

    Returns:
        The direction, shape `[D]`.

    Raises:
        ValueError: If shapes do not fit, or `leak` is a number outside of [0, 1].

    Example:
        >>> import torch
        >>> graddrop(torch.tensor([[1.0, 2.0], [-3.0, 2.0]]), uniforms=torch.tensor([0.5, 0.5]))
        tensor([-3.,  4.])
    """
    if jacobian.ndim != 2 or uniforms.shape != jacobian.shape[1:]:
        raise ValueError(
            "`jacobian` should have the shape [T, D] and `uniforms` the shape [D]. "
            f"Found {list(jacobian.shape)} and {list(uniforms.shape)}."
        )
    if isinstance(leak, Tensor):
        if leak.shape != jacobian.shape[:1]:
            raise ValueError(f"`leak` should have the shape {list(jacobian.shape[:1])}. Found {list(leak.shape)}.")
        leak = leak.to(jacobian)[:, None]
    elif not 0 <= leak <= 1:
        raise ValueError(f"`leak` should be in [0, 1]. Found `leak = {leak}`.")
    direction = torch.empty_like(jacobian[0])
    for place in column_blocks(jacobian):
        part = jacobian[:, place]
        kept = _mask(part, uniforms[place]).to(part)
        direction[place] = ((leak + (1 - leak) * kept) * part).sum(0)
    return direction


@torch.no_grad()
def _mask(jacobian: Tensor, uniforms: Tensor) -> Tensor:
    """Return the entries that `graddrop` keeps, boolean, shape `[T, D]`. Arguments as there."""
    magnitude = jacobian.abs().sum(0)
    # If all gradients are zero, the probability does not matter: there is nothing to keep.
    purity = 0.5 * (1 + jacobian.sum(0) / magnitude.where(magnitude > 0, torch.ones_like(magnitude)))
    return (purity > uniforms) & (jacobian > 0) | (purity < uniforms) & (jacobian < 0)


@register
class GradDrop(DirectionBalancer):
    """The sum of either the positive or the negative task gradients, chosen at every coordinate.

    The positive gradients are kept with the probability P = (1 + sum_i g_i / sum_i |g_i|) / 2, else the negative ones.
    At the shared parameters each entry has its own draw, as in most public codes (CAGrad's, FAMO's, TorchJD). The draws
    follow the order in which the parameters are found.

    The paper works at the features (`measure_at="features"`). There the sign of a task at a feature is that of its
    gradient times the activation, summed over the batch (the first axis) of all processes. One draw serves all samples.
    Several feature tensors are treated one by one.

    The tasks' own parameters receive their plain gradient. UnitScal and lingvo stretch the result to the norm of the
    plain sum. SamsungLabs makes one draw for the whole tensor and inverts the leak.

    Args:
        leak: Share of a dropped gradient that passes, in [0, 1].
        seed: Seed of the method's own random generator. Checkpoints hold its state, and all processes share it.
        measure_at: Where gradients are kept or dropped: "shared" or "features".

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(3, requires_grad=True)
        >>> _ = equipoise.GradDrop().backward({"a": x.sum(), "b": 2 * x[:2].sum() - x[2]})
        >>> x.grad[:2], x.grad[2].abs()  # the third is 1 or -1
        (tensor([3., 3.]), tensor(1.))
    """

    info = MethodInfo(
        name="graddrop",
        title="Gradient sign dropout",
        paper='Chen et al., "Just Pick a Sign", NeurIPS 2020, algorithm 1',
        default_place=Place.SHARED,
        scale="sum: T identical tasks give T times the gradient of one",
        heads="plain",
        state="random generator",
        weighs=False,
    )

    leak: float = hyper(default=0.0, rule=within(0, 1), source="paper")
    seed: int = hyper(default=0, rule=SEED, source="our choice")
    measure_at: Literal["features", "shared"] = hyper(
        default="shared", source="codes of CAGrad and FAMO, TorchJD (paper: features)"
    )

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"generator": generator_state(self.seed)}

    def direct(self, inputs: StepInputs) -> Tensor:
        """Draw, and return the sum of the kept gradients."""
        if inputs.features:
            parts = inputs.rows.split([feature.numel() for feature in inputs.features], dim=1)
            pairs = zip(parts, inputs.features, strict=True)
            return torch.cat([self._at_features(part, feature) for part, feature in pairs])
        return graddrop(inputs.rows, self._uniforms(inputs.rows[0]), self.leak)

    def _at_features(self, rows: Tensor, feature: Tensor) -> Tensor:
        gradients = rows.view(len(rows), len(feature), -1)
        signs = feature.sign().reshape(len(feature), -1).to(rows)
        signed = (gradients * signs).sum(1)
        distributed.sum_(signed)
        kept = _mask(signed, self._uniforms(signed[0])).to(rows)
        passed = self.leak + (1 - self.leak) * kept
        return (gradients * passed[:, None]).sum(0).view(-1)

    def _uniforms(self, like: Tensor) -> Tensor:
        uniforms, state = draw(
            self.state["generator"], lambda generator: torch.rand(len(like), generator=generator), like.device
        )
        self.state = {"generator": state}
        return uniforms.to(like)
