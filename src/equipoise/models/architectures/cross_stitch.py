"""Cross-stitch networks, and the base class of networks with a trunk per task."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from equipoise._core.registry import register
from equipoise.models import decoders
from equipoise.models.backbone import Backbone
from equipoise.models.base import Adapt, MultiTaskModel, Outputs, unchanged
from equipoise.models.layers import resize
from equipoise.tasks import Output


class FusedTrunks(MultiTaskModel):
    """A trunk and a decoder for each task; between stages, every trunk continues from a mixture of all trunks' maps.

    A subclass defines how maps are mixed (`fusion`) and after which stages (`fused`).

    Each task has its own trunk, but every task's loss reaches every trunk, so balancing makes sense. All trunks and all
    mixtures but the last are shared; a task owns its last mixture and its decoder. `Outputs.shared` holds the maps of
    all trunks before the last mixture, so methods that measure at features see the gradient of each task at each trunk.
    `last_shared_layer` returns the last layers of all trunks together. A decoder that also reads earlier stages reads
    its own trunk's maps there; these come before the others in `Outputs.shared`. With one task, a mixture has weights
    for that one map.

    In the papers, trunks and decoders start from trained single-task networks; here they start from the backbone's
    weights.

    Args:
        tasks: The output of each task; mixtures keep the order.
        backbone: Name of a timm model that runs stage by stage; see `Backbone.stages`.
        pretrained: False, True (timm's weights) or a file of weights, for every trunk; see `Backbone`.
        alpha: Initial weight of a task's own maps in a mixture; the other tasks' maps share the rest, 1 - alpha.
        decoder: Name of the decoder of every task; see `equipoise.models.decoders`. A task that is not dense
            gets `pooled`, which reads the same features.
        output_stride: Stride of the trunks' last features; see `Backbone`.
        decoder_options: Options of the decoder.
        backbone_options: Further arguments of timm's constructor.

    Raises:
        ValueError: A name, an option or the weights do not fit.
    """

    fused: ClassVar[slice]
    """The stages after which the trunks are mixed; the last one is among them."""

    def __init__(
        self,
        tasks: Mapping[str, int | Output],
        backbone: str,
        pretrained: bool | str | Path = False,
        *,
        alpha: float = 0.9,
        decoder: str = "deeplab",
        output_stride: int | None = 8,
        decoder_options: Mapping[str, Any] | None = None,
        backbone_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(tasks)
        if not 0 <= alpha <= 1:
            raise ValueError(f"`alpha` should be between 0 and 1. Found `alpha = {alpha}`.")
        trunks = [Backbone(backbone, pretrained, output_stride, **(backbone_options or {})) for _ in self.tasks]
        self.trunks = nn.ModuleDict(dict(zip(self.tasks, trunks, strict=True)))
        stages = range(len(trunks[0].stages()))
        self._fused, self._read = stages[self.fused], stages[decoders.get(decoder).levels]
        count = len(self.tasks)
        other = (1 - alpha) / max(1, count - 1)
        own = 1 - (count - 1) * other
        self.fusions = nn.ModuleList(
            nn.ModuleDict(
                {
                    task: self.fusion(trunks[0].channels[stage], [own if t == task else other for t in self.tasks])
                    for task in self.tasks
                }
            )
            for stage in self._fused
        )
        channels = [trunks[0].channels[stage] for stage in self._read]
        for task, output in self.outputs.items():
            self.decoders[task] = decoders.for_task(output, decoder, channels, decoder_options)

    @abstractmethod
    def fusion(self, channels: int, shares: Sequence[float]) -> nn.Module:
        """Return the module that mixes for one task: from the maps of all trunks, [B, channels, h, w] each, to one map.

        Args:
            channels: Channels of every map.
            shares: Initial weight of each task's map.
        """

    def forward(self, images: Tensor, adapt: Adapt = unchanged) -> Outputs:
        """Predict every task; the last mixture of a task reads the output of `adapt` for it."""
        trunks = self._trunks()
        maps = dict.fromkeys(self.tasks, images)
        shared: list[Tensor] = []
        last = self._fused[-1]
        for stage in range(last + 1):
            maps = {task: trunk.stage(stage, maps[task]) for task, trunk in trunks.items()}
            if stage in self._fused and stage != last:
                together = list(maps.values())
                mixtures = self._mixtures(self._fused.index(stage))
                maps = {task: mixture(together) for task, mixture in mixtures.items()}
            if stage in self._read or stage == last:
                # Views: the trunks compute later maps from them.
                shared += [map_.view_as(map_) for map_ in maps.values()]
        predictions = {}
        count = len(self.tasks)
        for number, (task, decoder) in enumerate(self.decoders.items()):
            read = list(adapt(task, shared))
            mixed = self._mixtures(-1)[task](read[-count:])
            prediction = decoder([*read[number:-count:count], mixed])
            predictions[task] = resize(prediction, images.shape[-2:]) if self.outputs[task].dense else prediction
        return Outputs(predictions, shared)

    def last_shared_layer(self) -> nn.Module:
        """Return the last layer of every trunk."""
        return nn.ModuleList(trunk.last_layer() for trunk in self._trunks().values())

    def task_modules(self, task: str) -> Iterable[nn.Module]:
        """Return the task's last mixture and its decoder."""
        return [self._mixtures(-1)[task], self.decoders[task]]

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile as in the base class; the trunks module by module, since they run stage by stage."""
        parts = [module for trunk in self._trunks().values() for stage in trunk.stages() for module in stage]
        mixtures = [mixture for number in range(len(self.fusions)) for mixture in self._mixtures(number).values()]
        for part in (*parts, *mixtures, *self.decoders.values()):
            part.compile(*args, **kwargs)

    def _trunks(self) -> dict[str, Backbone]:
        return {task: cast(Backbone, trunk) for task, trunk in self.trunks.items()}

    def _mixtures(self, number: int) -> nn.ModuleDict:
        return cast(nn.ModuleDict, self.fusions[number])


@register("cross_stitch")
class CrossStitch(FusedTrunks):
    """Cross-stitch networks: after each of the last four stages, a task continues from a weighted sum of all maps.

    Misra et al., "Cross-stitch Networks for Multi-task Learning", CVPR 2016, equation 1 and figure 3, with one weight
    for each channel and ordered pair of tasks, as in public dense networks (the paper also has one per pair). There is
    no bias and nothing non-linear. LibMTL has one weight per pair, starts all of them at 1 and leaves the last stage
    out.

    The authors of dense benchmarks start from `alpha` 0.9 (NYU-v2, two tasks) or 0.8 (PASCAL, five). They intend a
    learning rate for these weights that is a hundred times that of the trunks, but their code loses it after the first
    epoch; here all parameters have one rate.

    See `equipoise.models.architectures.cross_stitch` for the arguments and for what is shared.
    """

    examples = ({"backbone": "resnet18"}, {"backbone": "resnet50"})
    fused = slice(-4, None)

    def fusion(self, channels: int, shares: Sequence[float]) -> nn.Module:
        """Return a weighted sum."""
        return _Stitch(channels, shares)


class _Stitch(nn.Module):
    def __init__(self, channels: int, shares: Sequence[float]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(shares)[:, None, None, None].repeat(1, channels, 1, 1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        # Under autocast the maps are in half precision, and should stay so.
        weights = self.weight.to(maps[0].dtype)
        total = weights[0] * maps[0]
        for weight, others in zip(weights[1:], maps[1:], strict=True):
            total = torch.addcmul(total, weight, others)
        return total
