"""TaskPrompter: a prompt a task runs through the transformer and says what the task reads of it."""

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

    Ye and Xu, "TaskPrompter: Spatial-Channel Multi-Task Prompting for Dense Scene Understanding", ICLR 2023:
    `PromptedTransformer` runs one prompt a task beside the patches; at some depths `PromptReader` makes a task's
    features of the patches and the scores of the task's prompt; `CrossTaskReweighting` mixes them among tasks;
    `PromptedHead` sums them over the depths and predicts. There is no supervision on the way.

    Linear maps between channels and patches in every block tie the network to one size of images. Images of another
    size are resized to it, and the predictions back; then objects have other sizes in pixels than in training, so train
    and test at the size that it is built for.

    The released models differ in widths: PASCAL-Context, ViT-B: `embed_dim=780, feature_dim=1024`; PASCAL-Context,
    ViT-L: `embed_dim=300, feature_dim=350, windows=1`; NYUD-v2, ViT-L: the defaults with `reweighting=False`. Their
    prompts are one token long, as here. Scores are multiplied with the patches as they are, without scale or softmax.

    The trunk ends at the taps: scores of all prompts and patches at each depth, the deepest patches last. A task
    decodes what `adapt` makes of all of them. With reweighting, every task's prediction is made of all tasks' features;
    then, of several tasks, each owns its weights and its head alone, and the readers count as shared.

    Args:
        tasks: Task name to what the network puts out for it.
        backbone: Name of a plain vision transformer of timm's.
        pretrained: False, True (timm's weights) or a file of weights; see `Backbone`.
        size: Height and width of the images, multiples of the patch's side times `windows`. None: the backbone's.
        embed_dim: See `PromptDecoder`.
        feature_dim: Channels of a task's features.
        windows: Windows along each side in which prompts are compared with channels.
        levels: Number of depths at which the tasks read, evenly spaced.
        reweighting: Whether features are mixed among tasks.
        backbone_options: Further arguments of timm's constructor, for example `{"drop_path_rate": 0.15}`.

    Raises:
        ValueError: If a name, an option or the weights do not fit, a task is not dense or the backbone is no plain
            vision transformer.
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
        """Predict every task; `images` is [B, 3, H, W], best of the size that the network is built for."""
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
        """The second layer of the last block's perceptron."""
        return self.trunk.last_layer()

    def task_modules(self, task: str) -> Iterable[nn.Module]:
        """What only the loss of this task reaches; of a single task everything but the trunk."""
        modules: list[nn.Module] = [self.decoders[task]]
        if len(self.reweighting):
            modules.append(self.reweighting[task])
        if len(self.tasks) == 1 or not len(self.reweighting):
            modules.append(self.readers[task])
        return modules

    def _listed(self, taps: Sequence[Tap]) -> list[Tensor]:
        """What of the taps is read, kind by kind, so that the deepest patches come last."""
        pairs = [tap.pairs for tap in taps] if len(self.reweighting) else []
        return [*pairs, *(getattr(tap, kind) for kind in ("spatial", "channel", "patches") for tap in taps)]

    def _as_taps(self, listed: Sequence[Tensor], taps: Sequence[Tap]) -> list[Tap]:
        kinds = [listed[start : start + len(taps)] for start in range(0, len(listed), len(taps))]
        pairs = [] if len(self.reweighting) else [[tap.pairs for tap in taps]]
        return [Tap(*kinds_of_one) for kinds_of_one in zip(*pairs, *kinds, strict=True)]
