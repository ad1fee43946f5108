"""TaskPrompter: one prompt per task goes through the transformer and weighs the patches for the task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from equipoise._core.registry import register
from equipoise.models.architectures.taskprompter.decoder import CrossTaskReweighting, PromptedHead, PromptReader
from equipoise.models.architectures.taskprompter.transformer import PromptedTransformer, Tap
from equipoise.models.backbone import Backbone
from equipoise.models.base import Adapt, MultiTaskModel, Outputs, unchanged
from equipoise.models.layers import require_dense, resize
from equipoise.tasks import Output


@register("taskprompter")
class TaskPrompter(MultiTaskModel):
    """Spatial-channel multi-task prompting of a plain vision transformer.

    Ye and Xu, "TaskPrompter: Spatial-Channel Multi-Task Prompting for Dense Scene Understanding", ICLR 2023.
    `PromptedTransformer` processes one prompt per task together with the patches. At some depths, `PromptReader`
    computes a task's features from the patches and the scores of the task's prompt. `CrossTaskReweighting` mixes them
    among tasks; `PromptedHead` sums them over the depths and predicts. Intermediate features are not supervised.

    Linear maps between channels and patches in every block tie the network to one size of images. Images of another
    size are resized to it, and the predictions back. Objects then have other sizes in pixels than in training, so train
    and test at the size that the network is built for.

    The released models differ in widths: PASCAL-Context, ViT-B: `embed_dim=780, feature_dim=1024`; PASCAL-Context,
    ViT-L: `embed_dim=300, feature_dim=350, windows=1`; NYUD-v2, ViT-L: the defaults with `reweighting=False`. Their
    prompts are one token long, as here. The patches are multiplied with the scores without scale or softmax.

    The trunk ends with the taps: scores of all prompts and patches at each depth, the deepest patches last. A task
    decodes the output of `adapt` for it. With reweighting, every task's prediction depends on all tasks' features. With
    several tasks, each then owns only its reweighting and its head, and the readers count as shared.

    Args:
        tasks: The output of each task.
        backbone: Name of a plain vision transformer in timm.
        pretrained: False, True (timm's weights) or a file of weights; see `Backbone`.
        size: Height and width of the images, multiples of the patch's side times `windows`. None: the backbone's.
        embed_dim: See `PromptDecoder`.
        feature_dim: Channels of a task's features.
        windows: Number of windows along each side in which prompts are compared with channels.
        levels: Number of depths that the tasks read, evenly spaced.
        reweighting: Whether features are mixed among tasks.
        backbone_options: Further arguments of timm's constructor, for example `{"drop_path_rate": 0.15}`.

    Raises:
        ValueError: A name, an option or the weights do not fit, a task is not dense, or the backbone is no plain vision
            transformer.
    """

    default_backbone: ClassVar[str | None] = "vit_base_patch16_384"

    examples = (
        {"backbone": "vit_base_patch16_384", "size": (448, 576), "reweighting": False},
        {"backbone": "vit_large_patch16_384", "size": (448, 576), "reweighting": False},
    )

    def __init__(
        self,
        tasks: Mapping[str, int | Output],
        backbone: str,
        pretrained: bool | str | Path = False,
        *,
        size: Sequence[int] | None = None,
        embed_dim: int = 768,
        feature_dim: int = 768,
        windows: int = 4,
        levels: int = 4,
        reweighting: bool = True,
        backbone_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(tasks)
        require_dense(self.outputs)
        options: dict[str, Any] = {"dynamic_img_size": False, **(backbone_options or {})}
        if size is not None:
            options["img_size"] = tuple(size)
        network: Any = Backbone(backbone, pretrained, **options).network
        self.trunk = PromptedTransformer(network, len(self.tasks), levels, windows)
        self.size: tuple[int, int] = tuple(network.patch_embed.img_size)
        self.readers = nn.ModuleDict()
        self.reweighting = nn.ModuleDict()
        for number, (task, outputs) in enumerate(self.tasks.items()):
            self.readers[task] = PromptReader(
                number, len(self.tasks), levels, network.embed_dim, embed_dim, feature_dim
            )
            if reweighting:
                self.reweighting[task] = CrossTaskReweighting(number, levels, network.blocks[0].attn.num_heads)
            self.decoders[task] = PromptedHead(feature_dim, outputs)

    def forward(self, images: Tensor, adapt: Adapt = unchanged) -> Outputs:
        """Predict every task; `images` is [B, 3, H, W], preferably of the size that the network is built for."""
        size = images.shape[-2:]
        taps = self.trunk(images if size == self.size else resize(images, self.size))
        shared = self._listed(taps)
        read = {task: self._as_taps(list(adapt(task, shared)), taps) for task in self.tasks}
        features = {task: reader(read[task]) for task, reader in self.readers.items()}
        every = list(features.values())
        mixed = {
            task: reweighting(every, [tap.pairs for tap in read[task]])
            for task, reweighting in self.reweighting.items()
        }
        found = features | mixed
        predictions = {task: resize(decoder(found[task]), size) for task, decoder in self.decoders.items()}
        return Outputs(predictions, shared)

    def last_shared_layer(self) -> nn.Module:
        """Return the second layer of the last block's MLP."""
        return self.trunk.last_layer()

    def task_modules(self, task: str) -> Iterable[nn.Module]:
        """Return the modules that only the loss of this task reaches; with one task, everything but the trunk."""
        modules: list[nn.Module] = [self.decoders[task]]
        if len(self.reweighting):
            modules.append(self.reweighting[task])
        if len(self.tasks) == 1 or not len(self.reweighting):
            modules.append(self.readers[task])
        return modules

    def _listed(self, taps: Sequence[Tap]) -> list[Tensor]:
        """Return the tensors of the taps that are read, kind by kind, so that the deepest patches come last."""
        pairs = [tap.pairs for tap in taps] if len(self.reweighting) else []
        return [*pairs, *(getattr(tap, kind) for kind in ("spatial", "channel", "patches") for tap in taps)]

    def _as_taps(self, listed: Sequence[Tensor], taps: Sequence[Tap]) -> list[Tap]:
        kinds = [listed[start : start + len(taps)] for start in range(0, len(listed), len(taps))]
        pairs = [] if len(self.reweighting) else [[tap.pairs for tap in taps]]
        return [Tap(*kinds_of_one) for kinds_of_one in zip(*pairs, *kinds, strict=True)]
