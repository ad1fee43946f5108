"""URL: the plain sum of the losses, with features that stay close to those of single-task networks."""

import math
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

import torch
from torch import Tensor
from torch.nn import functional as F

from equipoise._core.registry import register
from equipoise.balancing.balancer import Balancer
from equipoise.balancing.context import Context, Need, missing
from equipoise.balancing.engine.update import StepInputs, Update
from equipoise.balancing.hyper_parameters import (
    FINITE_NON_NEGATIVE,
    NON_NEGATIVE,
    POSITIVE,
    SEED,
    at_least,
    each,
    hyper,
    or_none,
)
from equipoise.balancing.info import MethodInfo, Place
from equipoise.balancing.state.adam import adam

__all__ = ["URL", "url_distance"]


def url_distance(students: Sequence[Tensor], teacher: Tensor, adaptors: Sequence[Tensor]) -> Tensor:
    r"""Distance of universal representation learning (Li, Liu and Bilen, IJCV 2023), for one task.

    $$
    \sum_l \operatorname{mean}_{n, x} \big\| u(\text{resize}(A_l f_l))_{n x} - u(t)_{n x} \big\|^2,\qquad
    u(v) = v / \max(\|v\|, 10^{-12})
    $$

    with norms over the channels at each position. Unlike the other functions, this one is differentiable.

    Args:
        students: Features f of the multi-task network, a tensor for each level, `[B, C, H, W]`, or `[B, C]` without
            positions.
        teacher: Last features t of the task's own network, `[B, D, H', W']` or `[B, D]`. The students' features are
            resized to this size, bilinearly.
        adaptors: A linear map A for each level, `[D, C]`.

    Returns:
        A scalar between 0 and 4 times the number of levels. It is zero if all directions agree.

    Example:
        >>> import torch
        >>> features = torch.randn(1, 3, 2, 2)
        >>> url_distance([features], 5 * features, [torch.eye(3)]).item() < 1e-10
        True
    """
    target = F.normalize(_map(teacher.detach()), dim=1, eps=1e-12)
    total = target.new_zeros(())
    for student, adaptor in zip(students, adaptors, strict=True):
        adapted = F.conv2d(_map(student).to(adaptor.dtype), adaptor[:, :, None, None])
        if adapted.shape[-2:] != target.shape[-2:]:
            adapted = F.interpolate(adapted, target.shape[-2:], mode="bilinear", align_corners=False)
        total = total + (F.normalize(adapted, dim=1, eps=1e-12) - target).square().sum(1).mean()
    return total


def _map(features: Tensor) -> Tensor:
    return features[:, :, None, None] if features.ndim == 2 else features


@register
class URL(Balancer):
    """Distillation: each loss plus the distance between the adapted features and those of a single-task network.

    Source: Li, Liu and Bilen, "Universal Representations: A Unified Look at Multiple Task and Domain Learning", IJCV
    2023 (before: "Knowledge Distillation for Multi-task Learning", ECCVW 2020). Each task has adaptors: 1x1 maps
    without bias, one for each feature tensor. `after_step` trains them with their own Adam. They are not part of the
    network after training. The distance is `functional.url_distance`.

    The single-task networks come from `context.teachers`. They should be frozen and in evaluation mode. The authors'
    code leaves them in training mode, so that their batch statistics drift. `Balance.losses` does not contain the
    distances.

    Args:
        strength: lambda, the factor of the distance: one number, or one for each task.
        learning_rate: Learning rate of the adaptors.
        weight_decay: Weight decay of the adaptors.
        steps: Steps over which the adaptors' rate falls to zero along a cosine. None for a constant rate.
        seed: Seed of the adaptors' initial weights (Xavier, uniform).

    Example:
        >>> import torch, equipoise
        >>> trunk, head = torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(4, 1, 1)
        >>> images = torch.randn(2, 3, 5, 5)
        >>> features = trunk(images)
        >>> balancer = equipoise.URL()
        >>> context = equipoise.Context(teachers=lambda: {"a": torch.randn(2, 6, 5, 5)})
        >>> losses = {"a": head(features).square().mean()}
        >>> balance = balancer.backward(losses, features=features, context=context)
        >>> balancer.after_step()
    """

    info = MethodInfo(
        name="url",
        title="URL",
        paper='Li, Liu and Bilen, "Universal Representations", IJCV 2023',
        default_place=Place.FEATURES,
        scale="sum: T identical tasks give T times the gradient of one",
        heads="plain",
        state="adaptors with their moments; step counter",
        needs=frozenset({Need.TEACHERS, Need.AFTER_STEP}),
        weighs=False,
    )

    strength: float | Mapping[str, float] = hyper(
        default=1.0,
        rule=each(FINITE_NON_NEGATIVE),
        source="1; the authors' code for NYU: 1, 1, 2",
    )
    learning_rate: float = hyper(default=1e-2, rule=POSITIVE, source="the authors' code: 0.01")
    weight_decay: float = hyper(default=5e-4, rule=NON_NEGATIVE, source="the authors' code: 0.0005")
    steps: int | None = hyper(
        default=None, rule=or_none(at_least(1)), source="the authors' code: a cosine over the training"
    )
    seed: int = hyper(default=0, rule=SEED, source="our choice")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._leaves: dict[str, list[Tensor]] = {}
        self._scale = 1.0

    def initial_state(self) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"step": 0, "adaptors": {}, "moments": {}}

    def objectives(
        self, losses: Mapping[str, Tensor], features: Sequence[Tensor], context: Context
    ) -> Mapping[str, Tensor]:
        """Return each loss plus the distance of its task.

        Raises:
            ValueError: There are no features, or no teacher for a task.
        """
        if context.teachers is None:
            raise missing(Need.TEACHERS, self.info.name, "lambda: {task: features of its own network}")
        if not features or any(feature.ndim not in (2, 4) for feature in features):
            raise ValueError(
                "`features` should be of shape [B, C, H, W], or [B, C]: URL compares them with those of single-task "
                f"networks. Found {[list(feature.shape) for feature in features]}."
            )
        teachers = context.teachers()
        total = {}
        for task, loss in losses.items():
            if task not in teachers:
                raise ValueError(
                    f"`context.teachers` should give the features of a single-task network for `{task}`. Found "
                    f"{', '.join(teachers) or 'none'}. Train one with that task alone."
                )
            strength = self.strength.get(task, 1.0) if isinstance(self.strength, Mapping) else self.strength
            distance = url_distance(features, teachers[task], self._adaptors(task, features, teachers[task]))
            total[task] = loss + (strength * distance).to(loss.dtype)
        return total

    def place(self, tasks: Sequence[str]) -> Place:
        """Return the losses. The features enter through `objectives`."""
        return Place.LOSSES

    def decide(self, inputs: StepInputs) -> Update:
        """Return weights of the plain sum."""
        self._scale = inputs.scale
        return Update(torch.ones_like(inputs.losses), complete=False)

    @torch.no_grad()
    def on_step_end(self, context: Context | None) -> None:
        """Train the adaptors with their accumulated gradients."""
        leaves, self._leaves = self._leaves, {}
        gradients = {task: [leaf.grad for leaf in of_task if leaf.grad is not None] for task, of_task in leaves.items()}
        gradients = {task: found for task, found in gradients.items() if found}
        if not gradients or not all(bool(g.isfinite().all()) for found in gradients.values() for g in found):
            return
        done = 0.0 if self.steps is None else min(1.0, self.state["step"] / self.steps)
        rate = self.learning_rate * (1 + math.cos(math.pi * done)) / 2
        adaptors, moments = dict(self.state["adaptors"]), dict(self.state["moments"])
        for task, found in gradients.items():
            values: dict[str, Tensor] = {}
            new_moments: dict[str, Any] = {}
            for level, (leaf, gradient) in enumerate(zip(leaves[task], found, strict=True)):
                old = moments.get(task, {}).get(str(level))
                values[str(level)], new_moments[str(level)] = adam(
                    leaf.detach(), gradient / self._scale, old, rate, self.weight_decay
                )
            adaptors[task], moments[task] = values, new_moments
        self.state = {"step": self.state["step"] + 1, "adaptors": adaptors, "moments": moments}

    def _adaptors(self, task: str, features: Sequence[Tensor], teacher: Tensor) -> list[Tensor]:
        if task not in self._leaves:
            held = self.state["adaptors"].get(task)
            values = _initial(task, features, teacher, self.seed) if held is None else list(held.values())
            self._leaves[task] = [value.detach().to(features[0].device).clone().requires_grad_() for value in values]
        shapes = [(teacher.shape[1], feature.shape[1]) for feature in features]
        if [tuple(leaf.shape) for leaf in self._leaves[task]] != shapes:
            raise ValueError(
                f"`features` and the teacher of `{task}` should keep their channels. Found adaptors of "
                f"{[list(leaf.shape) for leaf in self._leaves[task]]} for {[list(shape) for shape in shapes]}."
            )
        return self._leaves[task]


def _initial(task: str, features: Sequence[Tensor], teacher: Tensor, seed: int) -> list[Tensor]:
    # One generator for each task, so that its initial weights do not depend on the other tasks.
    generator = torch.Generator().manual_seed(seed + crc32(task.encode()))
    values = []
    for feature in features:
        dtype = torch.promote_types(torch.float32, torch.promote_types(feature.dtype, teacher.dtype))
        value = torch.empty(teacher.shape[1], feature.shape[1], dtype=dtype)
        values.append(torch.nn.init.xavier_uniform_(value, generator=generator))
    return values
