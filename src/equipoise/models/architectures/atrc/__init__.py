"""ATRC: every task reads contexts of the others, of a kind that is chosen for each pair of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from equipoise._core.registry import register
from equipoise.models.architectures.atrc.choice import Choice
from equipoise.models.architectures.atrc.contexts import CONTEXTS, Refinement
from equipoise.models.architectures.atrc.relations import LABEL, NONE, SEARCH, Relations, candidates, reads_labels
from equipoise.models.backbone import Backbone
from equipoise.models.base import Adapt, MultiTaskModel, Outputs, unchanged
from equipoise.models.layers import concatenate, conv_bn_relu, require_dense, resize
from equipoise.tasks import Output


@register("atrc")
class ATRC(MultiTaskModel):
    """Adaptive task-relational context.

    Brüggemann et al., "Exploring Relational Context for Multi-Task Dense Prediction", ICCV 2021, arXiv 2104.13874,
    figure 2. The trunk ends with the backbone's last four features, concatenated at the size of the finest. For each
    task, a 3x3 convolution to a quarter of these channels computes its features. `Refinement` adds the task's contexts,
    which read the features of all tasks, its own among them, and a 1x1 convolution computes the prediction.

    Each pair of tasks has one kind of context (`contexts.GlobalContext`, `LocalContext`, `TargetLabelContext`,
    `SourceLabelContext`), or none. A search with all kinds finds it (`relations="search"`, see `Choice`). A network
    with the kinds that were found is then trained from the start:

        found = trained.relations()  # also after load_state_dict() of a checkpoint of the search
        models.create("atrc", tasks=tasks, relations=found)

    The public code ships configurations that were found on its data; they are not available here. Without a search, the
    default is contexts by labels, which gives a network of the same size.

    Contexts by labels need a label map. Tasks whose labels fall into categories (`Output.categories`) have a branch for
    it: a 1x1 convolution with batch normalisation and ReLU, on the trunk's end but without a gradient to the trunk, and
    a 1x1 convolution to the categories, supervised by cross entropy (`Outputs.categorical`). For each category, a
    softmax over the pixels gives the share of each pixel in the category. Only branches that a context reads are built.
    Pixels that augmentation has added around an image count like others: a network cannot tell them from the image.
    (The public code excludes pixels with the value 255 in the normalised image from these softmaxes, but from no other
    context, and overwrites the logits that it then supervises.)

    A task computes its features and its label map from the output of `adapt` for it. It owns them if no other task's
    contexts read them. Otherwise they count as shared, like the trunk, although they come after `Outputs.shared`. A
    task always owns its refinement, with the preferences of a search, and its decoder. With one task, the network has
    the contexts of that task with itself.

    Args:
        tasks: The output of each task.
        backbone: Name of a timm model.
        pretrained: False, True (timm's weights) or a file of weights; see `Backbone`.
        relations: "label", "search", a kind of context for all pairs ("global", "local", "target_label",
            "source_label"), or a table: target task to source task to kind or "none"; see `relations.candidates`.
        search_steps: Number of steps of a search; only for `relations="search"`.
        width: Channels of each task's features, an even number; contexts have half of it. None: a quarter of the
            channels where the trunk ends.
        backbone_options: Further arguments of timm's constructor.

    Raises:
        ValueError: A name, an option or the weights do not fit, a task is not dense, or a context by labels needs the
            labels of a task without categories.
    """

    default_backbone: ClassVar[str | None] = "hrnet_w18_small_v2"
    examples = ({"backbone": "hrnet_w18_small_v2"}, {"backbone": "hrnet_w18_small_v2", "relations": SEARCH})

    def __init__(
        self,
        tasks: Mapping[str, int | Output],
        backbone: str,
        pretrained: bool | str | Path = False,
        *,
        relations: Relations = LABEL,
        search_steps: int = 40_000,
        width: int | None = None,
        backbone_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(tasks)
        require_dense(self.outputs)
        if search_steps < 1:
            raise ValueError(f"`search_steps` should be 1 or more. Found `search_steps = {search_steps}`.")
        self.backbone = Backbone(backbone, pretrained, **(backbone_options or {}))
        self._table = {
            target: {source: kinds for source, kinds in row.items() if kinds}
            for target, row in candidates(relations, self.outputs).items()
        }
        inputs = sum(self.backbone.channels[-4:])
        width = inputs // 4 if width is None else width
        self.features = nn.ModuleDict({task: conv_bn_relu(inputs, width, 3) for task in self.tasks})
        self.labels = nn.ModuleDict()
        for task, output in self.outputs.items():
            if output.categories is not None and self._readers(task, of_labels=True):
                categories = nn.Conv2d(inputs, output.categories, 1)
                self.labels[task] = nn.Sequential(conv_bn_relu(inputs, inputs, 1), categories)
        self.refinement = nn.ModuleDict()
        for task, outputs in self.tasks.items():
            contexts: dict[str, nn.Module] = {}
            for source, kinds in self._table[task].items():
                if relations == SEARCH:
                    pairs = len(self.tasks) ** 2
                    contexts[source] = Choice(kinds, width, width // 2, steps=search_steps, pairs=pairs)
                else:
                    contexts[source] = CONTEXTS[kinds[0]](width, width // 2)
            self.refinement[task] = Refinement(task, contexts, width, width // 2)
            self.decoders[task] = _logits(width, outputs)

    def forward(self, images: Tensor, adapt: Adapt = unchanged) -> Outputs:
        """Predict every task; `images` is [B, 3, H, W]."""
        shared = [concatenate(self.backbone(images)[-4:])]
        size = images.shape[-2:]
        features: dict[str, Tensor] = {}
        labels: dict[str, Tensor] = {}
        categorical: dict[str, list[Tensor]] = {}
        for task in self.tasks:
            (feature,) = adapt(task, shared)
            features[task] = self.features[task](feature)
            if task in self.labels:
                logits = self.labels[task](feature.detach())
                labels[task] = logits.flatten(2).softmax(dim=2)
                categorical[task] = [resize(logits, size)]
        predictions = {
            task: resize(decoder(self.refinement[task](features, labels)), size)
            for task, decoder in self.decoders.items()
        }
        return Outputs(predictions, shared, categorical=categorical)

    def last_shared_layer(self) -> nn.Module:
        """Return the backbone's last layer; for an HRNet the module that writes all of its branches."""
        return self.backbone.last_layer()

    def task_modules(self, task: str) -> list[nn.Module]:
        """Return the modules that only the loss of this task reaches."""
        modules = [self.refinement[task], self.decoders[task]]
        if self._readers(task) <= {task}:
            modules.append(self.features[task])
        if task in self.labels and self._readers(task, of_labels=True) <= {task}:
            modules.append(self.labels[task])
        return modules

    def relations(self) -> dict[str, dict[str, str]]:
        """Return the kind of context, or "none", by target task and source task: as given, or as preferred so far."""
        found = {target: dict.fromkeys(self.tasks, NONE) for target in self.tasks}
        for target, row in self._table.items():
            for source in row:
                found[target][source] = _name(self.get_submodule(f"refinement.{target}.contexts.{source}"))
        return found

    def _readers(self, task: str, *, of_labels: bool = False) -> set[str]:
        """Return the target tasks whose contexts read the features, or the label map, of a task."""
        return {
            target
            for target, row in self._table.items()
            for source, kinds in row.items()
            for kind in kinds
            if (reads_labels(kind, target, source) if of_labels else source) == task
        }


def _logits(channels: int, outputs: int) -> nn.Conv2d:
    convolution = nn.Conv2d(channels, outputs, 1)
    weight, bias = convolution.parameters()
    nn.init.normal_(weight, std=0.01)
    nn.init.zeros_(bias)
    return convolution


def _name(context: nn.Module) -> str:
    if isinstance(context, Choice):
        return context.relation()
    return next(name for name, kind in CONTEXTS.items() if isinstance(context, kind))
