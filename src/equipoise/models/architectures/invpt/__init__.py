"""InvPT: tasks attend to each other at three scales, from coarse to fine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from equipoise._core.registry import register
from equipoise.models.architectures.invpt.decoder import JointNorm, PyramidHead, PyramidStage
from equipoise.models.backbone import Backbone
from equipoise.models.base import Adapt, MultiTaskModel, Outputs, unchanged
from equipoise.models.layers import conv_bn_relu, require_dense, resize
from equipoise.tasks import Output


@register("invpt")
class InvPT(MultiTaskModel):
    """Inverted pyramid multi-task transformer, on a plain or a hierarchical vision transformer.

    Ye and Xu, "Inverted Pyramid Multi-task Transformer for Dense Scene Understanding", ECCV 2022, arXiv 2203.07997,
    figure 2. For each task, two 3x3 convolutions on the backbone's last feature and a 1x1 convolution compute a first
    prediction, which is supervised too (`Outputs.auxiliary`). A 1x1 convolution mixes feature and prediction, which is
    not detached. In three stages (`PyramidStage`), each half as wide as the one before and twice as fine, all tasks
    attend to each other; `PyramidHead` joins a task's stages. With one task, the same modules attend among that task's
    positions: the single-task counterpart in Guo et al. (2025), figure 4.

    The network reads three of the backbone's features. From a plain vision transformer these are the first two and the
    last: with `Backbone`'s default the outputs of the blocks at a quarter and a half of its depth and, normalised, the
    last. The first stage has half the grid of patches, the second the grid itself and the third twice the grid. From a
    hierarchical backbone these are the last three features, and the stages have their grids. The paper reports Swin
    transformers without public code; the order of the features is our choice.

    Differences to the public code: it needs sides that are multiples of 64, since it halves and doubles grids by
    factors. Here grids are rounded up and resized to a size, which is the same for such sides. Each task has at least
    2x2 positions to attend to, so that attention makes sense on small images. The public code has modules that never
    reach a prediction. They are left out here: the first stage's 1x1 convolutions before the sum and its mixing of
    scores, a 3x3 convolution of a fourth feature (three quarters of the depth) and a layer normalisation. For T tasks,
    a backbone of width C and a first stage of width D these have T D (D + 1) + 10 + (9 C + 1) D + T D / 2 parameters:
    2.3 million on ViT-tiny and 6.6 million on ViT-large with four tasks. The public stochastic depth in the decoder is
    0 in every block, so there is none here.

    A task's first convolutions, and the features that its maps receive in the stages, read the output of `adapt` for
    it. With several tasks every map attends to every other. All of the decoder but `PyramidHead` then belongs to no
    task and counts as shared, like the trunk, although it comes after `Outputs.shared`.

    Args:
        tasks: The output of each task.
        backbone: Name of a timm model.
        pretrained: False, True (timm's weights) or a file of weights; see `Backbone`.
        embed_dim: Channels of a task's feature before it is mixed with the first prediction.
        prediction_dim: Further channels of the mixture; the sum of both is the width of the first stage.
        heads: Attention heads of every stage.
        backbone_options: Further arguments of timm's constructor, for example `{"drop_path_rate": 0.15}`.

    Raises:
        ValueError: A name, an option or the weights do not fit, a task is not dense, or the backbone has fewer than
            three features.
    """

    default_backbone: ClassVar[str | None] = "vit_base_patch16_384"

    examples = (
        {"backbone": "vit_tiny_patch16_384"},
        {"backbone": "vit_base_patch16_384"},
        {"backbone": "vit_large_patch16_384"},
        {"backbone": "swin_tiny_patch4_window7_224"},
    )

    def __init__(
        self,
        tasks: Mapping[str, int | Output],
        backbone: str,
        pretrained: bool | str | Path = False,
        *,
        embed_dim: int = 512,
        prediction_dim: int = 64,
        heads: int = 2,
        backbone_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(tasks)
        require_dense(self.outputs)
        width = embed_dim + prediction_dim
        if width % (4 * heads):
            raise ValueError(
                f"`embed_dim + prediction_dim` should be a multiple of {4 * heads}, so that the third stage, a quarter "
                f"as wide as the first, has {heads} heads. Found `embed_dim = {embed_dim}`, "
                f"`prediction_dim = {prediction_dim}`."
            )
        widths = [width, width // 2, width // 4]
        self.backbone = Backbone(backbone, pretrained, **(backbone_options or {}))
        strides = self.backbone.strides
        if len(strides) < 3:
            raise ValueError(
                f"`backbone` should give three features or more, one for each stage. Found `backbone = {backbone!r}` "
                f"with strides {strides}."
            )
        self.plain = strides[0] == strides[-1]
        self.levels = (0, 1, -1) if self.plain else (-3, -2, -1)
        channels = [self.backbone.channels[level] for level in self.levels]
        names = list(self.tasks)
        self.preliminary = nn.ModuleDict(
            {
                task: nn.Sequential(
                    conv_bn_relu(channels[-1], channels[-1], 3), conv_bn_relu(channels[-1], embed_dim, 3)
                )
                for task in names
            }
        )
        self.first_predictions = nn.ModuleDict(
            {task: nn.Conv2d(embed_dim, outputs, 1) for task, outputs in self.tasks.items()}
        )
        self.mix = nn.ModuleDict(
            {task: nn.Conv2d(embed_dim + outputs, width, 1) for task, outputs in self.tasks.items()}
        )
        # On a plain transformer, the grid of the third stage is twice that of the patches.
        self.skips = nn.ModuleList(
            [
                nn.Conv2d(channels[1], widths[1], 3, padding=1),
                nn.ConvTranspose2d(channels[0], widths[2], 3, stride=2, padding=1, output_padding=1)
                if self.plain
                else nn.Conv2d(channels[0], widths[2], 3, padding=1),
            ]
        )
        self.stages = nn.ModuleList(
            PyramidStage(names, inputs, outputs, heads, first=stage == 0)
            for stage, (inputs, outputs) in enumerate(zip([width, *widths], widths, strict=False))
        )
        self.norms = nn.ModuleList(JointNorm(len(names), outputs) for outputs in widths)
        for task, outputs in self.tasks.items():
            self.decoders[task] = PyramidHead(widths, outputs)

    def forward(self, images: Tensor, adapt: Adapt = unchanged) -> Outputs:
        """Predict every task; `images` is [B, 3, H, W]."""
        # Views: the trunk computes later features from earlier ones, so one would be an ancestor of the next.
        features = self.backbone(images)
        shared = [features[level].view_as(features[level]) for level in self.levels]
        read = {task: list(adapt(task, shared)) for task in self.tasks}
        size = images.shape[-2:]
        rows, columns = shared[-1].shape[-2:]
        grid = (_half(rows), _half(columns)) if self.plain else (rows, columns)
        attended = (max(2, _half(grid[0])), max(2, _half(grid[1])))
        maps: dict[str, Tensor] = {}
        auxiliary: dict[str, list[Tensor]] = {}
        for task, of_task in read.items():
            found = self.preliminary[task](resize(of_task[-1], grid))
            first = self.first_predictions[task](found)
            maps[task] = self.mix[task](torch.cat([found, first], 1))
            auxiliary[task] = [resize(first, size)]
        normed: list[dict[str, Tensor]] = []
        scores = None
        for number, (stage, norm) in enumerate(zip(self.stages, self.norms, strict=True)):
            maps, scores = stage(maps, self._skipped(number, read), attended, scores)
            normed.append(norm(maps))
        predictions = {
            task: resize(decoder([maps[task] for maps in normed]), size) for task, decoder in self.decoders.items()
        }
        return Outputs(predictions, shared, auxiliary)

    def last_shared_layer(self) -> nn.Module:
        """Return the backbone's last layer; for a plain vision transformer the second of the last block's MLP."""
        return self.backbone.last_layer()

    def task_modules(self, task: str) -> Iterable[nn.Module]:
        """Return the modules that only the loss of this task reaches; with one task, everything but the trunk."""
        if len(self.tasks) > 1:
            return [self.decoders[task]]
        return [module for module in self.children() if module is not self.backbone]

    def _skipped(self, stage: int, read: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
        if stage == 0:
            return {}
        skip = self.skips[stage - 1]
        features = {task: of_task[-1 - stage] for task, of_task in read.items()}
        first, *others = features.values()
        if all(other is first for other in others):  # without adaptation all tasks read the same: compute it once
            made: Tensor = skip(first)
            return dict.fromkeys(features, made)
        return {task: skip(feature) for task, feature in features.items()}


def _half(side: int) -> int:
    return (side + 1) // 2
