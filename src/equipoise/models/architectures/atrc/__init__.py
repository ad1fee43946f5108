"""ATRC: tasks look at each other through contexts, each pair through the kind that suits it."""

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
    figure 2. The backbone's last four features side by side, at the size of the finest, are where the trunk ends. For
    each task a 3x3 convolution to a quarter of these channels makes its features. `Refinement` adds to them what the
    task's contexts find in the features of all tasks, its own among them, and a 1x1 convolution makes the prediction.

    Which kind of context (`contexts.GlobalContext`, `LocalContext`, `TargetLabelContext`, `SourceLabelContext`, or
    none) belongs to which pair of tasks is found by a search with all of them (`relations="search"`, see `Choice`);
    then a network with the kinds that were found, `relations()`, is trained from the start:

        found = trained.relations()  # also after load_state_dict() of a checkpoint of the search
        models.create("atrc", tasks=tasks, relations=found)

    The configurations that the public code ships are found ones, for its data; they are not at hand here. Without a
    search, the default is contexts by labels, which gives a network of the same size.

    Contexts by labels need a map of labels. Tasks whose labels fall into categories (`Output.categories`) have a branch
    for it: a 1x1 convolution with batch normalisation and ReLU, on the trunk's end but without a gradient to the trunk,
    and a 1x1 convolution to the categories, supervised by cross entropy (`Outputs.categorical`). For each category a
    softmax over the pixels says how much each one belongs to it. Only the branches that a context reads are built.
    Pixels that augmentation has added around an image count like others: a network cannot tell them from the image.
    (The public code leaves pixels out of these softmaxes, but of no other context, that have the value 255 in the
    normalised image, and overwrites the logits that it goes on to supervise.)

    What a task reads of the trunk, its features and its label map, is what `adapt` makes of it for this task. A task's
    features and label map belong to it if no other task's contexts read them; else they count as shared, as the trunk
    does, though they lie behind `Outputs.shared`. Its refinement, with the preferences of a search, and its decoder are
    its own. Built with one task, it has the contexts of that task for itself.

    Args:
        tasks: Task name to what the network puts out for it.
        backbone: Name of a timm model.
        pretrained: False, True (timm's weights) or a file of weights; see `Backbone`.
        relations: "label", "search", a kind of context for all pairs ("global", "local", "target_label",
            "source_label"), or a table: target task to source task to kind or "none"; see `relations.candidates`.
        search_steps: How many steps a search takes; only for `relations="search"`.
        width: Channels of each task's features, an even number; contexts have half of it. None: a quarter of the
            channels where the trunk ends.
        backbone_options: Further arguments of timm's constructor.

    Raises:
        ValueError: If a name, an option or the weights do not fit, a task is not dense, or a context by labels is asked
            of a task without categories.
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
        """The backbone's last layer; of an HRNet what writes all of its branches."""
        return self.backbone.last_layer()

    def task_modules(self, task: str) -> list[nn.Module]:
        """What only the loss of this task reaches."""
        modules = [self.refinement[task], self.decoders[task]]
        if self._readers(task) <= {task}:
            modules.append(self.features[task])
        if task in self.labels and self._readers(task, of_labels=True) <= {task}:
            modules.append(self.labels[task])
        return modules

    def relations(self) -> dict[str, dict[str, str]]:
        """Target task to source task to the kind of context, "none" among them: given, or preferred so far."""
        found = {target: dict.fromkeys(self.tasks, NONE) for target in self.tasks}
        for target, row in self._table.items():
            for source in row:
                found[target][source] = _name(self.get_submodule(f"refinement.{target}.contexts.{source}"))
        return found

    def _readers(self, task: str, *, of_labels: bool = False) -> set[str]:
        """The target tasks whose contexts read the features, or the label map, of a task."""
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
