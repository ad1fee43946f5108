"""One backward step: task gradients, each computed once, and the gradients that the leaves receive.

A step is cut at the features, where the trunk ends and the heads begin. Every head is differentiated once. One
vector-Jacobian product then goes through the trunk for the weighted sum of the tasks, or one for each task if the
method measures all shared gradients. Without a clean cut the whole graph of a loss counts as its head. This is so
without features, if one feature is computed from another, or if a head also reads something else of the trunk. The
results are equal then, but some work is done twice.

Cost in backward passes of heads (H) and trunk (E), T tasks:

| measured at | with features | without |
|---|---|---|
| losses | H + E | H + E |
| the last shared layer | H + E + T x (that layer's weight gradient, or less: `layer_gram`) | 2 H + E |
| the features | H + E | not possible |
| all shared parameters | H + T E | H + T E |
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from zlib import crc32

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from equipoise.balancing.engine import distributed
from equipoise.balancing.engine.arguments import Layer, layer_parameters, loss_values
from equipoise.balancing.engine.graph import hooks_disabled, partition
from equipoise.balancing.engine.layer_gram import OuterProducts, find_layer
from equipoise.balancing.engine.task_gradients import TaskGradients
from equipoise.balancing.info import Place


class Step:
    """One backward step. It knows the shared leaves, each task's own leaves, and the gradients computed so far.

    Create it with `Step.begin`, which checks the arguments.

    Args:
        losses: Scalar loss by task, each with a graph.
        features: Tensors that the heads read, or none.
        shared: Parameters that count as shared. With features they are added to the parameters found from these.
            Without features they replace the parameters found from the losses.
        last_layer: The last shared layer, if the caller names one.
        retain_graph: Keep the graph for another backward pass.
        summed: Whether parameters that several tasks use behind the features receive the plain sum of the task
            gradients. Otherwise they count as shared.
        values: [T], losses of this process without a graph.
        scale: Factor of a gradient scaler, already applied to the losses.

    Attributes:
        features: Tensors at which the step is cut; empty without a cut.
        shared: Leaves that count as shared.
        heads: Each task's own leaves.
        between: Leaves that several tasks use and that receive the plain sum.

    Raises:
        ValueError: The losses depend on the trunk, but not through the features.
    """

    def __init__(
        self,
        losses: Mapping[str, Tensor],
        features: Sequence[Tensor],
        shared: Iterable[Tensor],
        *,
        last_layer: Layer | None,
        retain_graph: bool,
        summed: bool,
        values: Tensor,
        scale: float,
    ) -> None:
        self.tasks = tuple(losses)
        self.losses = list(losses.values())
        self.values, self.scale = values, scale
        self.retain_graph = retain_graph
        self._last_layer, self._given_features = last_layer, len(features)
        found = self._partition = partition(self.losses, features, shared, summed)
        self.features, self.shared = found.features, found.shared
        self.heads, self.between = found.heads, found.between
        # By task: gradients at the features, and at the leaves that the task reaches without passing a feature.
        self._at_features: list[list[Tensor | None]] = []
        self._at_leaves: list[dict[Tensor, Tensor]] = []

    @classmethod
    def begin(
        cls,
        losses: Mapping[str, Tensor],
        features: Sequence[Tensor] = (),
        shared: Iterable[Tensor] = (),
        *,
        last_layer: Layer | None = None,
        retain_graph: bool = False,
        scaler: torch.amp.GradScaler | None = None,
        summed: bool = False,
        objectives: Callable[[], Mapping[str, Tensor]] | None = None,
    ) -> "Step":
        """Begin a step. Check the arguments, and that they agree on all processes.

        Args:
            losses: As for `Balancer.backward`, like the other arguments.
            features: The features.
            shared: The shared parameters.
            last_layer: The last shared layer.
            retain_graph: Whether to keep the graph.
            scaler: The gradient scaler.
            summed: Whether parameters that several tasks use behind the features receive the plain sum.
            objectives: Returns the scalars to differentiate in place of the losses.

        Raises:
            ValueError: An argument is wrong, or the processes disagree.
        """
        # A process that refuses its losses must tell the others. Otherwise they would wait for it for ever.
        first = next((loss for loss in losses.values() if isinstance(loss, Tensor)), None)
        device = torch.device("cpu") if first is None else first.device
        try:
            values = loss_values(losses)
            total = losses if objectives is None else objectives()
            scaled = total if scaler is None else {task: scaler.scale(loss) for task, loss in total.items()}
            step = cls(
                scaled,
                features,
                shared,
                last_layer=last_layer,
                retain_graph=retain_graph,
                summed=summed,
                values=values,
                scale=1.0 if scaler is None else scaler.get_scale(),
            )
        except ValueError as error:
            distributed.require_agreement(str(error), device)
            raise
        if distributed.world_size() > 1:
            shapes = [[tuple(leaf.shape) for leaf in leaves] for leaves in (step.shared, *step.heads)]
            layout = f"{len(step.leaves())} parameters, layout {crc32(str(shapes).encode()):08x}"
            distributed.require_agreement(f"{', '.join(losses)} ({layout})", device)
        return step

    def leaves(self) -> list[Tensor]:
        """Return every leaf that may receive a gradient, in an order that depends on the graph alone."""
        own = [leaf for leaves in self.heads for leaf in leaves]
        return list(dict.fromkeys([*self.shared, *self.between, *own]))

    # Measuring

    def gradients(self, place: Place, who: str) -> TaskGradients | None:
        """Return the task gradients at a place, or None if the place is the losses.

        Gradients at parameters are reduced over processes. Gradients at the features stay those of each process's part
        of the batch.

        Args:
            place: Where to measure.
            who: Name of the method or probe, for messages.

        Raises:
            ValueError: The arguments of the step do not allow to measure there.
        """
        if place is Place.LAST_LAYER:
            layer = self._layer(who)
            return TaskGradients(layer, self._at_layer(layer), self.scale)
        if place is Place.FEATURES:
            return self._feature_gradients(who)
        if place is Place.SHARED:
            return self._shared_gradients(who)
        return None

    def products(self, place: Place, who: str) -> TaskGradients | None:
        """Return the same as `gradients`, for callers that mainly need inner products.

        At the last layer only the inner products are computed if that costs less. Single entries are then formed on
        request, which must come before the end of the step.
        """
        # Gradients can be summed over processes, their inner products cannot.
        if place is Place.LAST_LAYER and distributed.world_size() == 1:
            layer = self._layer(who)
            found = find_layer(self.features or self.losses, layer)
            if found is not None and found.pays(len(self.tasks)):
                arrived = [piece for row in self._at_layer([found.output]) for piece in row if piece is not None]
                return OuterProducts(layer, found.gram(arrived), lambda: self._at_layer(layer), self.scale)
        return self.gradients(place, who)

    def _layer(self, who: str) -> list[Tensor]:
        if self._last_layer is None:
            raise ValueError(
                f"`last_layer` should be given: {who} measures gradients there. Found none. Pass the last "
                "layer that all tasks share, such as `encoder.layer4[-1].conv2` of a ResNet-18."
            )
        return layer_parameters(self._last_layer)

    def _feature_gradients(self, who: str) -> TaskGradients:
        if not self.features:
            raise ValueError(
                "`features` should hold tensors that require a gradient, none computed from another, and all "
                f"that the heads read of the trunk: {who} measures gradients there. Found {self._given_features} "
                "that will not do."
            )
        self._differentiate_heads()
        # Each process's loss is the mean over its part of the batch; the loss of the step is the mean of these.
        return TaskGradients(self.features, list(self._at_features), self.scale * distributed.world_size())

    def _shared_gradients(self, who: str) -> TaskGradients:
        if not self.shared:
            raise ValueError(
                f"`features` or `shared` should lead to shared parameters that require a gradient: {who} "
                "measures their gradients. Found none. Unfreeze the trunk, or use `uniform` or `fixed`."
            )
        rows: list[list[Tensor | None]] = []
        for number in range(len(self.tasks)):
            # A probe at the features has already differentiated the head.
            if number == len(self._at_leaves):
                self._differentiate_head(number)
            keep = self.retain_graph or number < len(self.tasks) - 1
            through = self._through_trunk(self._at_features[number], self._partition.trunk, retain_graph=keep)
            found = dict(zip(self._partition.trunk, through, strict=True))
            direct = self._at_leaves[number]
            # Nothing needs these again. The rest are the leaves of the task itself.
            found |= {leaf: direct.pop(leaf) for leaf in self.shared if leaf in direct}
            self._at_features[number] = []
            rows += _reduced([[found.get(leaf) for leaf in self.shared]])
        return TaskGradients(self.shared, rows, self.scale)

    # Update: the gradient that each leaf receives

    def update_from_weights(self, weights: Tensor, head_weights: Tensor | None = None) -> dict[Tensor, Tensor]:
        """Return the gradients of the weighted sum of losses by leaf, reduced over processes.

        Args:
            weights: [T], weights of the task gradients at the shared parameters.
            head_weights: [T], weights at the tasks' own parameters. None for `weights`.
        """
        if (head_weights is not None or self.between) and self.features:
            self._differentiate_heads()
        if self._at_leaves:
            seeds = TaskGradients(self.features, self._at_features).weighted_sum(weights)
            found = self._from_heads(weights, weights if head_weights is None else head_weights)
            at_features = [seeds.get(feature) for feature in self.features]
            through = self._through_trunk(at_features, self._partition.trunk, self.retain_graph)
            found |= _present(self._partition.trunk, through)
        elif head_weights is None and not self.between:
            found = self._of_total(weights, self.leaves(), self.retain_graph)
        else:
            found = self._of_total(weights, self.shared, retain_graph=True)
            found |= self._of_total(torch.ones_like(weights), self.between, retain_graph=True)
            own = list(dict.fromkeys(leaf for leaves in self.heads for leaf in leaves))
            found |= self._of_total(weights if head_weights is None else head_weights, own, self.retain_graph)
        return distributed.means(found)

    def update_from_gradients(
        self, gradients: TaskGradients, weights: Tensor, head_weights: Tensor
    ) -> dict[Tensor, Tensor]:
        """Return the gradients by leaf if the shared parameters receive a weighted sum of `gradients` there."""
        return distributed.means(self._from_heads(weights, head_weights)) | gradients.weighted_sum(weights)

    def update_from_direction(
        self, gradients: TaskGradients, direction: Tensor, head_weights: Tensor
    ) -> dict[Tensor, Tensor]:
        """Return the gradients by leaf if the shared parameters receive a direction, [P], ordered as `gradients`."""
        heads = distributed.means(self._from_heads(head_weights, head_weights))
        return heads | dict(zip(self.shared, gradients.split(direction), strict=True))

    def update_from_feature_direction(
        self, gradients: TaskGradients, direction: Tensor, head_weights: Tensor
    ) -> dict[Tensor, Tensor]:
        """Return the gradients by leaf if the features receive a gradient, [P], ordered as `gradients`."""
        found = self._from_heads(head_weights, head_weights)
        through = self._through_trunk(gradients.split(direction), self._partition.trunk, self.retain_graph)
        return distributed.means(found | _present(self._partition.trunk, through))

    def own_gradients(self) -> list[dict[Tensor, Tensor]]:
        """Return each task's gradients at its own leaves, reduced over processes.

        Call it after measuring at the shared parameters.
        """
        shared = {*self.shared, *self.between}
        return [
            distributed.means({leaf: gradient for leaf, gradient in found.items() if leaf not in shared})
            for found in self._at_leaves
        ]

    def nonfinite_tasks(self, gradients: Mapping[Tensor, Tensor]) -> tuple[str, ...]:
        """Return the tasks whose own leaves have gradients that are not finite; all tasks if no own leaf has."""
        bad = {leaf for leaf, gradient in gradients.items() if not bool(gradient.isfinite().all())}
        own = tuple(t for t, leaves in zip(self.tasks, self.heads, strict=True) if not bad.isdisjoint(leaves))
        return own or self.tasks

    # Backward passes

    def _at_layer(self, places: Sequence[Tensor] | Sequence[GradientEdge]) -> list[list[Tensor | None]]:
        if self.features:
            self._differentiate_heads()
            pieces = [self._through_trunk(row, places, retain_graph=True) for row in self._at_features]
        else:
            pieces = [_gradients([loss], places, None, retain_graph=True) for loss in self.losses]
        for task, row in zip(self.tasks, pieces, strict=True):
            if all(piece is None for piece in row):
                raise ValueError(
                    f"`last_layer` should be a layer of the trunk that every loss depends on. Found one that `{task}` "
                    "does not depend on. Name an earlier layer, or leave the task out."
                )
        return _reduced(pieces)

    def _differentiate_heads(self) -> None:
        for number in range(len(self._at_leaves), len(self.tasks)):
            self._differentiate_head(number)

    def _differentiate_head(self, number: int) -> None:
        reached = self._partition.reached[number]
        keep = self.retain_graph or not (self._partition.disjoint or number == len(self.losses) - 1)
        # The hooks of the features fire when the trunk is differentiated.
        with hooks_disabled(self.features):
            found = _gradients([self.losses[number]], [*self.features, *reached], None, keep)
        self._at_features.append(list(found[: len(self.features)]))
        self._at_leaves.append(_present(reached, found[len(self.features) :]))

    def _through_trunk(
        self, seeds: Sequence[Tensor | None], places: Sequence[Tensor] | Sequence[GradientEdge], retain_graph: bool
    ) -> Sequence[Tensor | None]:
        used = _present(self.features, seeds)
        if not used or not places:
            return [None] * len(places)
        return _gradients(list(used), places, list(used.values()), retain_graph)

    def _of_total(self, weights: Tensor, leaves: Sequence[Tensor], retain_graph: bool) -> dict[Tensor, Tensor]:
        if not leaves:
            return {}
        seeds = [weight.to(loss).expand_as(loss) for weight, loss in zip(weights, self.losses, strict=True)]
        return _present(leaves, _gradients(self.losses, leaves, seeds, retain_graph))

    def _from_heads(self, weights: Tensor, head_weights: Tensor) -> dict[Tensor, Tensor]:
        shared, between = set(self.shared), set(self.between)
        one = torch.ones_like(weights[0])
        found: dict[Tensor, Tensor] = {}
        for gradients, weight, head_weight in zip(self._at_leaves, weights, head_weights, strict=True):
            for leaf, gradient in gradients.items():
                part = _times(gradient, one if leaf in between else weight if leaf in shared else head_weight)
                found[leaf] = found[leaf].add_(part) if leaf in found else part
        return found


def _gradients(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor] | Sequence[GradientEdge],
    seeds: Sequence[Tensor] | None,
    retain_graph: bool,
) -> Sequence[Tensor | None]:
    with hooks_disabled(place for place in inputs if isinstance(place, Tensor) and place.is_leaf):
        return torch.autograd.grad(outputs, inputs, seeds, retain_graph=retain_graph, allow_unused=True)


def _present(tensors: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> dict[Tensor, Tensor]:
    pairs = zip(tensors, gradients, strict=True)
    return {tensor: gradient for tensor, gradient in pairs if gradient is not None}


def _reduced(rows: Sequence[Sequence[Tensor | None]]) -> list[list[Tensor | None]]:
    if distributed.world_size() == 1:
        return [list(row) for row in rows]
    every = {(task, place): piece for task, row in enumerate(rows) for place, piece in enumerate(row)}
    present = {key: piece for key, piece in every.items() if piece is not None}
    means = distributed.means(present)
    return [[means.get((task, place)) for place in range(len(row))] for task, row in enumerate(rows)]


def _times(gradient: Tensor, weight: Tensor) -> Tensor:
    # Not `weight.to(gradient)`: rounding to half precision would change the weight by a thousandth.
    return (gradient * weight.to(gradient.device)).to(gradient.dtype)
