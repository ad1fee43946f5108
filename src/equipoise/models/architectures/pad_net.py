"""PAD-Net: intermediate predictions, then messages between the features of the tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from equipoise._core.registry import register
from equipoise.models.backbone import Backbone
from equipoise.models.base import Adapt, MultiTaskModel, Outputs, unchanged
from equipoise.models.layers import bottleneck, concatenate, require_dense, resize
from equipoise.tasks import Output

Gate = Literal["source", "target"]
"""The feature from which the gate of a message is computed."""


class Distillation(nn.Module):
    r"""Multi-modal distillation: gated messages from the features of other tasks, added to those of one.

    With F the features and sigma the logistic function, the task k becomes

    $$F'_k = F_k + \sum_{l \ne k} \sigma(W_{kl} * F_l) \odot (V_{kl} * F_l)$$

    for `gate = "source"` (Vandenhende et al., "MTI-Net", ECCV 2020, arXiv 2001.06902, section 3.2), or

    $$F'_k = F_k + \sigma(W_k * F_k) \odot \sum_{l \ne k} V_{kl} * F_l$$

    for `gate = "target"`, one gate for all messages (Xu et al., "PAD-Net", CVPR 2018, arXiv 1805.04409, distillation
    module C, section 3.4). W and V are 3x3 convolutions without bias or normalisation. The public PAD-Net has the first
    form.

    With one task, the sum has the one term l = k ("self-distillation", the single-task counterpart in Guo et al., 2025,
    figure 4). The public code fails there.

    Args:
        channels: Channels of every feature.
        sources: Number of other tasks.
        gate: The feature from which the gate of a message is computed.

    Raises:
        ValueError: There is no such gate.
    """

    def __init__(self, channels: int, sources: int, gate: Gate = "source") -> None:
        super().__init__()
        if gate not in get_args(Gate):
            raise ValueError(f"`gate` should be 'source' or 'target'. Found `gate = {gate!r}`.")
        self.gate = gate
        messages = max(1, sources)
        gates = messages if gate == "source" else 1
        self.gates = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(gates))
        self.messages = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(messages))

    def forward(self, target: Tensor, sources: Sequence[Tensor]) -> Tensor:
        """Return the new features of the task, from its own and the others' in a fixed order, [B, C, h, w] each."""
        sources = sources or [target]
        messages = [layer(source) for layer, source in zip(self.messages, sources, strict=True)]
        if self.gate == "target":
            return target + self.gates[0](target).sigmoid() * torch.stack(messages).sum(dim=0)
        for layer, source, message in zip(self.gates, sources, messages, strict=True):
            target = target + layer(source).sigmoid() * message
        return target


@register("pad_net")
class PADNet(MultiTaskModel):
    """Prediction-and-distillation network.

    Xu et al., "PAD-Net: Multi-Tasks Guided Prediction-and-Distillation Network for Simultaneous Depth Estimation and
    Scene Parsing", CVPR 2018, arXiv 1805.04409, figure 2, in the form of the public Multi-Task-Learning-PyTorch, from
    which all published numbers on HRNets are. The backbone's last four features are fused into one map (concatenated at
    the size of the finest, 1x1 convolution, batch normalisation, ReLU), where the trunk ends. For each task, two
    bottleneck blocks compute features and a 1x1 convolution a first prediction, supervised by the task's loss
    (`Outputs.auxiliary`). Then each task receives messages from the others (`Distillation`), and two more bottleneck
    blocks and a 1x1 convolution compute the prediction.

    The paper's own network differs: a ResNet-50 whose last three stages are joined, deconvolutions in place of the
    bottleneck blocks, and gates that are computed from the features of the receiving task (`gate="target"`, smaller by
    T (T - 2) gates for T tasks). It may have more intermediate tasks than final ones; here they are the same. On a
    dilated ResNet, `output_stride=8, fuse=False`, the trunk ends with the backbone's last feature.

    A task computes its features and its first prediction from the output of `adapt` for it. With several tasks, the
    features of each reach the predictions of all. The blocks that compute them then belong to no task and count as
    shared, like the trunk, although they come after `Outputs.shared`. A task owns the convolution of its first
    prediction, its distillation and its decoder. With one task, the task sends the message to itself.

    Args:
        tasks: The output of each task.
        backbone: Name of a timm model.
        pretrained: False, True (timm's weights) or a file of weights; see `Backbone`.
        width: Channels of each task's features, a multiple of 4.
        gate: The feature from which the gate of a message is computed; see `Distillation`.
        fuse: Whether the trunk ends with the fused features, or with the backbone's last one.
        output_stride: Stride of the backbone's last features, reached by dilation; None leaves it as it is.
        backbone_options: Further arguments of timm's constructor.

    Raises:
        ValueError: A name, an option or the weights do not fit, or a task is not dense.
    """

    default_backbone: ClassVar[str | None] = "hrnet_w18_small_v2"
    examples = (
        {"backbone": "hrnet_w18_small_v2"},
        {"backbone": "resnet18", "fuse": False, "output_stride": 8},
        {"backbone": "resnet50", "fuse": False, "output_stride": 8},
    )

    def __init__(
        self,
        tasks: Mapping[str, int | Output],
        backbone: str,
        pretrained: bool | str | Path = False,
        *,
        width: int = 256,
        gate: Gate = "source",
        fuse: bool = True,
        output_stride: int | None = None,
        backbone_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(tasks)
        require_dense(self.outputs)
        self.backbone = Backbone(backbone, pretrained, output_stride, **(backbone_options or {}))
        channels = sum(self.backbone.channels[-4:]) if fuse else self.backbone.channels[-1]
        self.fuse = _fuse(channels) if fuse else None
        self.initial = nn.ModuleDict()
        self.predict_initially = nn.ModuleDict()
        self.distillation = nn.ModuleDict()
        for task, outputs in self.tasks.items():
            self.initial[task] = nn.Sequential(bottleneck(channels, width), bottleneck(width, width))
            self.predict_initially[task] = nn.Conv2d(width, outputs, 1)
            self.distillation[task] = Distillation(width, len(self.tasks) - 1, gate)
            self.decoders[task] = nn.Sequential(
                bottleneck(width, width), bottleneck(width, width), nn.Conv2d(width, outputs, 1)
            )

    def forward(self, images: Tensor, adapt: Adapt = unchanged) -> Outputs:
        """Predict every task; `images` is [B, 3, H, W]."""
        features = self.backbone(images)
        shared = [features[-1] if self.fuse is None else self.fuse(concatenate(features[-4:]))]
        size = images.shape[-2:]
        own: dict[str, Tensor] = {}
        predictions: dict[str, Tensor] = {}
        auxiliary: dict[str, list[Tensor]] = {}
        for task in self.tasks:
            (feature,) = adapt(task, shared)
            own[task] = self.initial[task](feature)
            auxiliary[task] = [resize(self.predict_initially[task](own[task]), size)]
        for task, decoder in self.decoders.items():
            others = [own[other] for other in self.tasks if other != task]
            predictions[task] = resize(decoder(self.distillation[task](own[task], others)), size)
        return Outputs(predictions, shared, auxiliary)

    def last_shared_layer(self) -> nn.Module:
        """Return the convolution that fuses the features, or without it the backbone's last layer."""
        return self.backbone.last_layer() if self.fuse is None else self.fuse[0]

    def task_modules(self, task: str) -> list[nn.Module]:
        """Return the modules that only the loss of this task reaches; with one task, everything but the trunk."""
        modules = [self.predict_initially[task], self.distillation[task], self.decoders[task]]
        return modules if len(self.tasks) > 1 else [self.initial[task], *modules]


def _fuse(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
