"""Hard parameter sharing: one trunk for all tasks, one decoder per task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from equipoise._core.registry import register
from equipoise.models import decoders
from equipoise.models.backbone import Backbone
from equipoise.models.base import Adapt, MultiTaskModel, Outputs, unchanged
from equipoise.models.layers import resize
from equipoise.tasks import Output


@register("shared")
class Shared(MultiTaskModel):
    """Hard parameter sharing: the multi-task baseline and, built with one task, the single-task baseline.

    With its defaults and a ResNet backbone it is the usual baseline of multi-task dense prediction: a dilated ResNet
    (output stride 8) with one DeepLab head per task.

    Args:
        tasks: The output of each task.
        backbone: Name of a timm model.
        pretrained: False, True (timm's weights) or a file of weights; see `Backbone`.
        decoder: Name of the decoder of every task; see `equipoise.models.decoders`. A task that is not dense
            gets `pooled`, which reads the same features.
        output_stride: Stride of the trunk's last features, reached by dilation. None leaves the backbone as timm builds
            it; backbones that cannot be dilated need that.
        decoder_options: Options of the decoder.
        backbone_options: Further arguments of timm's constructor, for example `{"drop_path_rate": 0.1}`.

    Raises:
        ValueError: A name, an option or the weights do not fit.
    """

    examples = (
        {"backbone": "resnet18"},
        {"backbone": "resnet50"},
        {"backbone": "hrnet_w18_small_v2", "decoder": "concat", "output_stride": None},
        {"backbone": "vit_tiny_patch16_384", "decoder": "plain", "output_stride": None},
        {"backbone": "vit_base_patch16_384", "decoder": "plain", "output_stride": None},
        {"backbone": "vit_base_patch16_384", "decoder": "depths", "output_stride": None},
        {"backbone": "vit_large_patch16_384", "decoder": "plain", "output_stride": None},
        {"backbone": "vit_base_patch14_reg4_dinov2", "decoder": "plain", "output_stride": None},
        {"backbone": "samvit_base_patch16", "decoder": "plain", "output_stride": None},
        {"backbone": "swin_tiny_patch4_window7_224", "decoder": "concat", "output_stride": None},
    )

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
        self.levels = decoders.get(decoder).levels
        channels = self.backbone.channels[self.levels]
        for task, output in self.outputs.items():
            self.decoders[task] = decoders.for_task(output, decoder, channels, decoder_options)

    def forward(self, images: Tensor, adapt: Adapt = unchanged) -> Outputs:
        """Predict every task; `images` is [B, 3, H, W]. The decoder of a task reads the output of `adapt` for it."""
        # Views: the trunk computes later features from earlier ones, so one would be an ancestor of the next.
        shared = [feature.view_as(feature) for feature in self.backbone(images)[self.levels]]
        size = images.shape[-2:]
        predictions = {}
        for task, decoder in self.decoders.items():
            prediction = decoder(list(adapt(task, shared)))
            predictions[task] = resize(prediction, size) if self.outputs[task].dense else prediction
        return Outputs(predictions, shared)

    def last_shared_layer(self) -> nn.Module:
        """Return the backbone's last layer; for a ResNet the last convolution of layer4."""
        return self.backbone.last_layer()
