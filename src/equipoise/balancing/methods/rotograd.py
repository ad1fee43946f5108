"""RotoGrad: rotate the features before each head, and give the returning gradients equal lengths."""

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.balancing.balancer import Features
from equipoise.balancing.bases.weights import WeightBalancer
from equipoise.balancing.context import Need
from equipoise.balancing.engine import distributed
from equipoise.balancing.engine.task_gradients import TaskGradients
from equipoise.balancing.engine.update import StepInputs
from equipoise.balancing.hyper_parameters import NON_NEGATIVE, POSITIVE, at_least, hyper, or_none
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.state.adam import adam
from equipoise.balancing.state.per_task import read_tasks

__all__ = ["RotoGrad", "rotograd", "rotograd_slopes"]


@torch.no_grad()
def rotograd(norms: Tensor, initial_norms: Tensor) -> Tensor:
    r"""Weights of the task gradients at the features in RotoGrad (Javaloy and Valera, ICLR 2022).

    $$
    w_i = \frac{C}{n_i},\qquad C = \sum_j a_j n_j,\qquad a_j \propto n_j / n_j(0)
    $$

    All tasks contribute gradients of the same length C. Tasks whose gradients have shrunk least determine C most.

    Args:
        norms: Norms of the task gradients at the features, over the whole batch, shape `[T]`.
        initial_norms: The same norms at the start of the training, positive, shape `[T]`.

    Returns:
        Weights, shape `[T]`. They are zero for zero gradients, and all ones if all gradients are zero.

    Example:
        >>> import torch
        >>> rotograd(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 3.0]))
        tensor([2.0000, 0.6667])
    """
    nonzero = norms > 0
    ratios = torch.where(nonzero, norms / initial_norms, 0)
    total = ratios.sum()
    length = (ratios * norms).sum() / torch.where(total > 0, total, 1)
    weights = torch.where(nonzero, length / torch.where(nonzero, norms, 1), 0)
    return torch.where(nonzero.any(), weights, torch.ones_like(norms))


@torch.no_grad()
def rotograd_slopes(gradients: Sequence[Tensor], norms: Tensor, mean_norm: Tensor) -> Tensor:
    r"""Slopes of the rotations of RotoGrad, as skew-symmetric matrices.

    Rotation $R_i$ should minimise $\|R_i V - R_i^- G_i\|^2$. Here $G_i$ is the gradient of loss i at the features,
    $R_i^-$ the current rotation, and $V$ the mean of all $G_j$, scaled to the length of the plain mean gradient. In the
    tangent space $R_i$ becomes $R_i e^S$. The gradient with respect to the skew-symmetric S is

    $$
    S_i = 2 (V G_i^T - G_i V^T)
    $$

    It does not depend on the rotations. The sums run over samples and positions, as in the authors' package for plain
    features. For feature maps the package takes the mean over the batch.

    Args:
        gradients: $G_i$ with samples and positions as columns, T tensors of shape `[d, N]`.
        norms: Norms of the tasks' gradients, shape `[T]`.
        mean_norm: Norm of the mean of the tasks' gradients, a scalar.

    Returns:
        Slopes, shape `[T, d, d]`. A step leads to `R_i @ matrix_exp(-rate * slope)`.

    Example:
        >>> import torch
        >>> alike = [torch.tensor([[1.0], [0.0]])] * 2
        >>> rotograd_slopes(alike, torch.ones(2), torch.tensor(1.0)).abs().max()
        tensor(0.)
    """
    factors = torch.where(norms > 0, mean_norm / torch.where(norms > 0, norms, 1), 0) / len(gradients)
    pairs = zip(gradients, factors, strict=True)
    target = torch.stack([gradient * factor.to(gradient) for gradient, factor in pairs]).sum(0)
    products = torch.stack([target @ gradient.T for gradient in gradients])
    return 2 * (products - products.mT)


@torch.no_grad()
def _turned(rotation: Tensor, step: Tensor) -> Tensor:
    """Return a rotation after a step in its tangent space, $R e^S$, kept orthogonal against rounding.

    Args:
        rotation: Orthogonal matrix, shape `[..., d, d]`.
        step: Skew-symmetric matrix, shape `[..., d, d]`.
    """
    moved = rotation @ torch.matrix_exp(step)
    # One step of Newton's iteration towards the nearest orthogonal matrix.
    return moved @ (3 * torch.eye(moved.shape[-1], dtype=moved.dtype, device=moved.device) - moved.mT @ moved) / 2


@register
class RotoGrad(WeightBalancer):
    """Learnt rotations of the features, one for each task's head, so that the task gradients agree.

    Source: Javaloy and Valera, "RotoGrad: Gradient Homogenization in Multitask Learning", ICLR 2022. The gradients at
    the features get equal lengths (see `functional.rotograd`). Every rotation takes a step that turns its task's
    gradient towards the common direction. Rotations act on the channels (axis 1), the same at each position. With
    several feature tensors each has its own rotation.

    The heads must read `balancer.adapt(task, features)`, during training and afterwards, since the rotations are part
    of the network. Differences from the authors' package: Rotations start as the identity (there at random, by an
    oversight of a dependency). A step is taken in the tangent space at the current rotation, not at the initial one.
    Steps use Adam, so that they do not depend on the scale of the losses ("sgd" is the plain step of the paper's
    theory).

    A rotation of d channels is a d x d matrix. Each step costs one matrix exponential for each task, about d^3
    operations. For more than about 500 channels choose a `size`.

    Args:
        learning_rate: Learning rate of the rotations.
        optimizer: Optimiser of the rotations, "adam" or "sgd".
        size: Number of channels to rotate, from the first on. None for all.
        equal_lengths: Whether the gradients get equal lengths. Otherwise they are summed as they are (the paper's
            "rotate only").
        burn_in: Step, counted from 0, at which the initial lengths of the gradients are measured again.

    Example:
        >>> import torch, equipoise
        >>> trunk = torch.nn.Linear(3, 4)
        >>> heads = {"a": torch.nn.Linear(4, 1), "b": torch.nn.Linear(4, 1)}
        >>> balancer = equipoise.RotoGrad()
        >>> features = trunk(torch.ones(2, 3))
        >>> losses = {t: head(balancer.adapt(t, features)).square().mean() for t, head in heads.items()}
        >>> balance = balancer.backward(losses, features=features)
        >>> balancer.adapt("a", features).shape
        torch.Size([2, 4])
    """

    info = MethodInfo(
        name="rotograd",
        title="RotoGrad",
        paper='Javaloy and Valera, "RotoGrad: Gradient Homogenization in Multitask Learning", ICLR 2022',
        default_place=Place.FEATURES,
        scale="sum: T identical tasks give T times the gradient of one",
        heads="plain",
        state="a rotation with its moments for each task; initial norms; step counter",
        needs=frozenset({Need.ADAPT}),
    )

    learning_rate: float = hyper(
        default=1e-4, rule=POSITIVE, source="a usual rate of the network: 1e-4; the paper tunes it"
    )
    optimizer: Literal["adam", "sgd"] = hyper(default="adam", source="as the network's; the paper leaves it open")
    size: int | None = hyper(default=None, rule=or_none(at_least(2)), source="the paper: all channels")
    equal_lengths: bool = hyper(default=True, source="the paper: yes")
    burn_in: int = hyper(default=20, rule=NON_NEGATIVE, source="the authors' package: 20")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._adapted: set[str] = set()

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"step": 0, "initial_norms": {}, "rotations": {}, "moments": {}}

    def adapt(self, task: str, features: Features) -> Features:
        """Return the features, rotated for a task.

        Args:
            task: The task.
            features: The tensor, [B, C, ...], or all tensors that you pass to `backward` as `features`.

        Raises:
            ValueError: The number of tensors or channels differs from the steps before.
        """
        self._adapted.add(task)
        rotations: dict[str, Tensor] = self.state["rotations"].get(task, {})
        if not rotations:
            return features
        tensors = [features] if isinstance(features, Tensor) else list(features)
        sizes = [min(self.size or tensor.shape[1], tensor.shape[1]) for tensor in tensors]
        if sizes != [len(rotation) for rotation in rotations.values()]:
            raise ValueError(
                "`features` should be the tensors that `backward` received, all of them trained. Found tensors of "
                f"{[tensor.shape[1] for tensor in tensors]} channels, but rotations of "
                f"{[len(rotation) for rotation in rotations.values()]}."
            )
        rotated = [_rotated(f, r) for f, r in zip(tensors, rotations.values(), strict=True)]
        return cast(Features, rotated[0] if isinstance(features, Tensor) else rotated)

    def weigh(self, inputs: StepInputs) -> Tensor:
        """Compute the weights at the features, and take a step of the rotations."""
        assert inputs.gradients is not None
        assert inputs.gram is not None
        held: dict[str, dict[str, Tensor]] = self.state["rotations"]
        forgotten = [task for task in inputs.tasks if task in held and task not in self._adapted]
        if forgotten:
            raise ValueError(
                f"`losses[{forgotten[0]!r}]` should come from features that went through `adapt`: RotoGrad rotates "
                f"them before each head. Found none since the last step. Let the head read `balancer.adapt("
                f"{forgotten[0]!r}, features)`."
            )
        self._adapted = set()
        norms = inputs.gram.diagonal().clamp(min=0).sqrt()
        initial: dict[str, Tensor] = self.state["initial_norms"]
        anew = self.state["step"] == self.burn_in
        # Later gradients cannot be compared with a gradient of zero.
        measured = zip(inputs.tasks, norms, (norms > 0).tolist(), strict=True)
        initial = initial | {t: norm.clone() for t, norm, good in measured if good and (anew or t not in initial)}
        self._turn(inputs.tasks, inputs.gradients, norms, inputs.gram.mean().clamp(min=0).sqrt())
        self.state = self.state | {"step": self.state["step"] + 1, "initial_norms": initial}
        if not self.equal_lengths:
            return torch.ones_like(norms)
        return rotograd(norms, read_tasks(initial, inputs.tasks, torch.ones_like(norms[0])))

    def head_weights(self, inputs: StepInputs, weights: Tensor) -> Tensor | None:
        """Return ones."""
        return torch.ones_like(weights)

    def _turn(self, tasks: tuple[str, ...], at_features: TaskGradients, norms: Tensor, mean_norm: Tensor) -> None:
        rotations: dict[str, dict[str, Tensor]] = {task: dict(self.state["rotations"].get(task, {})) for task in tasks}
        moments: dict[str, dict[str, Any]] = {task: dict(self.state["moments"].get(task, {})) for task in tasks}
        for level, (feature, column) in enumerate(
            zip(at_features.like, zip(*at_features.pieces, strict=True), strict=True)
        ):
            if feature.ndim < 2:
                raise ValueError(
                    "`features` should have a batch axis and a channel axis: RotoGrad rotates the channels. Found "
                    f"`features` of shape {list(feature.shape)}."
                )
            size = min(self.size or feature.shape[1], feature.shape[1])
            gradients = [
                (torch.zeros_like(feature) if piece is None else piece)[:, :size].transpose(0, 1).reshape(size, -1)
                for piece in column
            ]
            slopes = rotograd_slopes([g.to(at_features.dtype) / at_features.scale for g in gradients], norms, mean_norm)
            distributed.sum_(slopes)
            identity = torch.eye(size, dtype=slopes.dtype, device=slopes.device)
            for task, slope in zip(tasks, slopes, strict=True):
                key = str(level)
                if self.optimizer == "adam":
                    step, moments[task][key] = adam(
                        torch.zeros_like(slope), slope, moments[task].get(key), self.learning_rate
                    )
                else:
                    step = -self.learning_rate * slope
                rotations[task][key] = _turned(rotations[task].get(key, identity), step)
        self.state = self.state | {
            "rotations": self.state["rotations"] | rotations,
            "moments": self.state["moments"] | moments,
        }


def _rotated(feature: Tensor, rotation: Tensor) -> Tensor:
    size = len(rotation)
    rotation = rotation.to(feature)
    part = (feature[:, :size].movedim(1, -1) @ rotation.mT).movedim(-1, 1)
    return part if size == feature.shape[1] else torch.cat([part, feature[:, size:]], 1)
