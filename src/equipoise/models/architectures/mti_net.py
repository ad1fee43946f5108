"""MTI-Net: messages between tasks at four scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork, SqueezeExcitation

from equipoise._core.registry import register
from equipoise.models import decoders
from equipoise.models.architectures.pad_net import Distillation
from equipoise.models.backbone import Backbone
from equipoise.models.base import Adapt, MultiTaskModel, Outputs, unchanged
from equipoise.models.layers import basic_block, require_dense, resize
from equipoise.tasks import Output

Softmax = Literal["task", "upstream"]
"""The channels over which the attention of a `FeaturePropagation` is normalised."""

REDUCTION = 16
"""The factor by which squeeze-and-excitation blocks are narrower inside (Hu et al., CVPR 2018)."""


class FeaturePropagation(nn.Module):
    """Feature propagation module (Vandenhende et al., "MTI-Net", arXiv 2001.06902, section 3.3, figure 3).

    The features of the N tasks are concatenated to N x C channels and go through a function f: two residual blocks of a
    quarter of the channels and a 1x1 convolution back. A softmax over the tasks, for each channel and pixel, turns the
    result into an attention mask ("task": the paper). The masked features go through a residual block to C channels,
    which all tasks share. Each task weighs these channels by squeeze-and-excitation and adds its own features.

    The public code groups other channels ("upstream"; the published numbers were made with it). The channels of the
    first task come first, those of the second next and so on; each N consecutive channels are one group. Most groups
    thus hold channels of one task alone.

    With one task there is nothing to compare: the softmax of one number is 1, and f would receive no gradient. The mask
    is then left out; residual block, squeeze-and-excitation and the addition remain.

    Squeeze-and-excitation is 16 times narrower inside, which leaves two channels for an HRNet-W18's 36. With PyTorch's
    initial weights, both would start where ReLU has no gradient in one task of four. Here they start at 1 for every
    input (weights 0, bias 1), and learn from the first step on.

    Args:
        tasks: The number N of tasks.
        channels: Channels C of each task's features.
        softmax: The channels over which the mask is normalised.

    Raises:
        ValueError: There is no such softmax.
    """

    def __init__(self, tasks: int, channels: int, softmax: Softmax = "task") -> None:
        super().__init__()
        if softmax not in get_args(Softmax):
            raise ValueError(f"`fpm_softmax` should be 'task' or 'upstream'. Found `fpm_softmax = {softmax!r}`.")
        self.softmax = softmax
        together = tasks * channels
        inner = max(1, together // 4)
        self.compare = (
            nn.Sequential(basic_block(together, inner), basic_block(inner, inner), nn.Conv2d(inner, together, 1))
            if tasks > 1
            else None
        )
        self.share = basic_block(together, channels)
        self.weigh = nn.ModuleList(_squeeze_excitation(channels) for _ in range(tasks))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the features that each task passes to the next scale, from those of each task, [B, C, h, w]."""
        together = torch.cat(list(features), dim=1)
        if self.compare is not None:
            together = together * self.mask(self.compare(together), len(features))
        shared = self.share(together)
        return [feature + weigh(shared) for feature, weigh in zip(features, self.weigh, strict=True)]

    def mask(self, scores: Tensor, tasks: int) -> Tensor:
        """Return the attention mask of scores [B, N * C, h, w], the channels of the first task first."""
        if self.softmax == "task":
            return scores.unflatten(1, (tasks, -1)).softmax(dim=1).flatten(1, 2)
        return scores.unflatten(1, (-1, tasks)).softmax(dim=2).flatten(1, 2)


def _squeeze_excitation(channels: int) -> SqueezeExcitation:
    block = SqueezeExcitation(channels, max(1, channels // REDUCTION))
    weight, bias = block.fc1.parameters()
    nn.init.zeros_(weight)
    nn.init.ones_(bias)
    return block


SCALES = 4
"""The number of scales."""


@register("mti_net")
class MTINet(MultiTaskModel):
    """Multi-scale task interaction network.

    Vandenhende et al., "MTI-Net: Multi-Scale Task Interaction Networks for Multi-Task Learning", ECCV 2020, arXiv
    2001.06902, figure 2. The backbone's last four features are the scales. At each scale, from the coarsest on:

    - Two residual blocks compute features for each task, from the backbone's feature and from the resized features that
      the next coarser scale passes on for this task.
    - A 1x1 convolution computes a first prediction from them, supervised by the task's loss at all four scales
      (`Outputs.auxiliary`).
    - `FeaturePropagation` computes the features for the next finer scale (section 3.3).
    - `Distillation` adds messages from the other tasks to each task's features (section 3.2).

    The head of HRNet (`decoders.concat`) aggregates a task's four scales to its prediction (section 3.4).

    The public code resizes by a factor of two, which excludes images whose sides are no multiples of 32; here features
    are resized to a size. The public feature propagation groups channels differently (`fpm_softmax="upstream"`).

    HRNets have features of many depths at every scale. A ResNet does not, and its coarse features are wide, which makes
    the network very large (189 million parameters for ResNet-18 and four tasks). The paper puts a feature pyramid (Lin
    et al., CVPR 2017: 1x1 convolutions, sums from coarse to fine, 3x3 convolutions) on it; `pyramid` is its width. No
    public code has that; we suggest 128 channels. The pyramid is a part of the trunk.

    A task reads the output of `adapt` for it, at all scales. With several tasks, the features of each reach the
    predictions of all. The blocks that compute them and the feature propagation then belong to no task and count as
    shared, like the trunk, although they come after `Outputs.shared`. A task owns the convolutions of its first
    predictions, its distillation and its decoder. With one task (Guo et al., 2025, figure 4: feature propagation, deep
    supervision and self-distillation), the propagation does not compare tasks, and each scale sends the message to
    itself.

    Args:
        tasks: The output of each task; their order is that of the channels in the feature propagation.
        backbone: Name of a timm model with at least four features.
        pretrained: False, True (timm's weights) or a file of weights; see `Backbone`.
        fpm_softmax: The channels over which the propagation's attention is normalised; see `FeaturePropagation`.
        pyramid: Channels of a feature pyramid on the backbone, or None: the backbone's features as they are.
        backbone_options: Further arguments of timm's constructor.

    Raises:
        ValueError: A name, an option or the weights do not fit, or a task is not dense.
    """

    default_backbone: ClassVar[str | None] = "hrnet_w18_small_v2"
    examples = (
        {"backbone": "hrnet_w18_small_v2"},
        {"backbone": "resnet18", "pyramid": 128},
        {"backbone": "resnet50", "pyramid": 128},
    )

    def __init__(
        self,
        tasks: Mapping[str, int | Output],
        backbone: str,
        pretrained: bool | str | Path = False,
        *,
        fpm_softmax: Softmax = "task",
        pyramid: int | None = None,
        backbone_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(tasks)
        require_dense(self.outputs)
        self.backbone = Backbone(backbone, pretrained, **(backbone_options or {}))
        channels = self.backbone.channels[-SCALES:]
        if len(channels) < SCALES:
            raise ValueError(f"`backbone` should have {SCALES} features or more. Found {len(channels)} of {backbone}.")
        self.pyramid = None if pyramid is None else FeaturePyramidNetwork(channels, pyramid)
        channels = channels if pyramid is None else [pyramid] * SCALES
        number = len(self.tasks)
        # The features from the coarser scale have that scale's channels; the coarsest scale receives none.
        received = [*channels[1:], 0]
        self.initial = nn.ModuleDict()
        self.predict_initially = nn.ModuleDict()
        self.distillation = nn.ModuleDict()
        for scale, width in enumerate(channels):
            for task, outputs in self.tasks.items():
                key = _key(task, scale)
                self.initial[key] = nn.Sequential(
                    basic_block(width + received[scale], width), basic_block(width, width)
                )
                self.predict_initially[key] = nn.Conv2d(width, outputs, 1)
                self.distillation[key] = Distillation(width, number - 1)
        self.propagation = nn.ModuleList(FeaturePropagation(number, width, fpm_softmax) for width in channels[1:])
        for task, outputs in self.tasks.items():
            self.decoders[task] = decoders.create("concat", channels, outputs)

    def forward(self, images: Tensor, adapt: Adapt = unchanged) -> Outputs:
        """Predict every task; `images` is [B, 3, H, W]."""
        shared = self._scales(images)
        size = images.shape[-2:]
        read = {task: adapt(task, shared) for task in self.tasks}
        refined: dict[str, list[Tensor]] = {task: [] for task in self.tasks}
        auxiliary: dict[str, list[Tensor]] = {task: [] for task in self.tasks}
        received: dict[str, Tensor] = {}
        for scale in reversed(range(SCALES)):
            own: dict[str, Tensor] = {}
            for task in self.tasks:
                feature = read[task][scale]
                if task in received:
                    feature = torch.cat([feature, resize(received[task], feature.shape[-2:])], dim=1)
                own[task] = self.initial[_key(task, scale)](feature)
                auxiliary[task].insert(0, resize(self.predict_initially[_key(task, scale)](own[task]), size))
            for task in self.tasks:
                others = [own[other] for other in self.tasks if other != task]
                refined[task].insert(0, self.distillation[_key(task, scale)](own[task], others))
            if scale > 0:
                received = dict(zip(own, self.propagation[scale - 1](list(own.values())), strict=True))
        predictions = {task: resize(decoder(refined[task]), size) for task, decoder in self.decoders.items()}
        return Outputs(predictions, shared, auxiliary)

    def last_shared_layer(self) -> nn.Module:
        """Return the pyramid's last convolutions, or the backbone's last layer; see `Backbone.last_layer`."""
        return self.backbone.last_layer() if self.pyramid is None else self.pyramid.layer_blocks

    def task_modules(self, task: str) -> list[nn.Module]:
        """Return the modules that only the loss of this task reaches; with one task, everything but the trunk."""
        parts = [self.predict_initially, self.distillation] + ([self.initial] if len(self.tasks) == 1 else [])
        modules = [part[_key(task, scale)] for part in parts for scale in range(SCALES)]
        return [*modules, self.decoders[task], *(self.propagation if len(self.tasks) == 1 else [])]

    def _scales(self, images: Tensor) -> list[Tensor]:
        features = self.backbone(images)[-SCALES:]
        if self.pyramid is not None:
            pyramid = self.pyramid({str(scale): feature for scale, feature in enumerate(features)})
            return list(pyramid.values())
        # Views: a backbone may compute later features from earlier ones, so one would be an ancestor of the next.
        return [feature.view_as(feature) for feature in features]


def _key(task: str, scale: int) -> str:
    return f"{task}/{scale}"
