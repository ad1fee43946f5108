"""MTAN: every task selects features of the shared trunk by attention at every layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from equipoise._core.registry import register
from equipoise.models import decoders
from equipoise.models.backbone import Backbone
from equipoise.models.base import Adapt, MultiTaskModel, Outputs, unchanged
from equipoise.models.layers import bottleneck, resize
from equipoise.tasks import Output


@register("mtan")
class MTAN(MultiTaskModel):
    """The multi-task attention network on a ResNet.

    Liu, Johns and Davison, "End-to-End Multi-Task Learning with Attention", CVPR 2019, figure 2, in the form that the
    first author later gave it on ResNets. Dense benchmarks and Guo et al. (2025) use this form. In each layer k of the
    trunk, p_k is the output of the last block and u_k that of the block before it. For each task:

        mask_k = attention_k(concat(u_k, r_{k-1}))      1x1 convolution to a quarter, BN, ReLU, 1x1, BN, sigmoid
        a_k    = mask_k * p_k                           (equation 1)
        r_k    = pool(refine_k(a_k))                    a bottleneck to the next layer's channels; 2x2 maximum

    There is no r before the first layer and none after the last; it is pooled where the next layer is coarser. The
    decoder reads a_4. Each task has its own attention. The tasks share the refinements (as in the paper: "the feature
    extractor f is shared"), which see batch statistics of one task at a time.

    `Outputs.shared` holds u_k and p_k of all layers, from the first to the last. The refinements come after them. They
    are shared parameters; methods that measure at features treat them like any other parameter that several tasks
    reach.

    Args:
        tasks: The output of each task.
        backbone: Name of a timm ResNet with at least two blocks a layer.
        pretrained: False, True (timm's weights) or a file of weights; see `Backbone`.
        decoder: Name of the decoder of every task; see `equipoise.models.decoders`. A decoder on several features reads
            the a_k of these layers. A task that is not dense gets `pooled`.
        output_stride: Stride of the trunk's last features; see `Backbone`.
        decoder_options: Options of the decoder.
        backbone_options: Further arguments of timm's constructor.

    Raises:
        ValueError: A name, an option or the weights do not fit.
    """

    examples = ({"backbone": "resnet18"}, {"backbone": "resnet50"})

    def __init__(
        self,
        tasks: Mapping[str, int | Output],
        backbone: str,
        pretrained: bool | str | Path = False,
        *,
        decoder: str = "deeplab",
        output_stride: int | None = 8,
        decoder_options: Mapping[str, Any] | None = None,
        backbone_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(tasks)
        self.backbone = Backbone(backbone, pretrained, output_stride, **(backbone_options or {}))
        stages = self.backbone.stages()[1:]
        if not all(len(stage) == 1 and isinstance(stage[0], nn.Sequential) and len(stage[0]) > 1 for stage in stages):
            raise ValueError(
                "`backbone` should be a ResNet with at least two blocks in each layer, the last of which MTAN attends "
                f"to. Found `backbone = {backbone!r}`. Use `resnet18` or a larger one; `backbone_options` can give a "
                "ResNet more `layers`."
            )
        channels, strides = self.backbone.channels[1:], self.backbone.strides[1:]
        self.refinements = nn.ModuleList(
            nn.Sequential(
                bottleneck(channels[k], channels[k + 1]),
                nn.Identity() if strides[k + 1] == strides[k] else nn.MaxPool2d(2, ceil_mode=True),
            )
            for k in range(len(channels) - 1)
        )
        numbers = range(len(self.backbone.channels))
        self._read = [number - 1 for number in numbers[decoders.get(decoder).levels] if number > 0]
        self.attentions = nn.ModuleDict()
        for task, output in self.outputs.items():
            self.attentions[task] = nn.ModuleList(
                _attention(width if k == 0 else 2 * width, width) for k, width in enumerate(channels)
            )
            self.decoders[task] = decoders.for_task(
                output, decoder, [channels[number] for number in self._read], decoder_options
            )

    def forward(self, images: Tensor, adapt: Adapt = unchanged) -> Outputs:
        """Predict every task; the attention of a task reads the output of `adapt` for it."""
        maps = self.backbone.stage(0, images)
        shared: list[Tensor] = []
        for *blocks, last in self._layers():
            for block in blocks:
                maps = block(maps)
            # Views: the trunk computes later maps from them.
            shared.append(maps.view_as(maps))
            maps = last(maps)
            shared.append(maps.view_as(maps))
        predictions = {}
        for task, decoder in self.decoders.items():
            attended = self._attended(task, list(adapt(task, shared)))
            prediction = decoder([attended[number] for number in self._read])
            predictions[task] = resize(prediction, images.shape[-2:]) if self.outputs[task].dense else prediction
        return Outputs(predictions, shared)

    def last_shared_layer(self) -> nn.Module:
        """Return the last convolution of the trunk's last layer."""
        return self.backbone.last_layer()

    def task_modules(self, task: str) -> Iterable[nn.Module]:
        """Return the task's attention modules and its decoder."""
        return [self.attentions[task], self.decoders[task]]

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile as in the base class; the trunk block by block, since features are read between blocks."""
        blocks = [*self.backbone.stages()[0], *(block for layer in self._layers() for block in layer)]
        attentions = [module for modules in self.attentions.children() for module in modules.children()]
        for part in (*blocks, *attentions, *self.refinements, *self.decoders.values()):
            part.compile(*args, **kwargs)

    def _layers(self) -> list[list[nn.Module]]:
        """Return the blocks of each layer of the trunk."""
        return [list(cast(nn.Sequential, layer)) for (layer,) in self.backbone.stages()[1:]]

    def _attended(self, task: str, shared: list[Tensor]) -> list[Tensor]:
        attended: list[Tensor] = []
        attentions = cast(nn.ModuleList, self.attentions[task])
        for k, attention in enumerate(attentions):
            before, after = shared[2 * k : 2 * k + 2]
            if attended:
                before = torch.cat([before, self.refinements[k - 1](attended[-1])], dim=1)
            attended.append(attention(before) * after)
        return attended


def _attention(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs // 4, 1),
        nn.BatchNorm2d(outputs // 4),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs // 4, outputs, 1),
        nn.BatchNorm2d(outputs),
        nn.Sigmoid(),
    )
