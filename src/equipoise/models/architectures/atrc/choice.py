"""The search for the context of one pair of tasks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from equipoise.models.architectures.atrc.contexts import CONTEXTS
from equipoise.models.architectures.atrc.relations import NONE

FIRST_TEMPERATURE, LAST_TEMPERATURE = 1.0, 0.05
FIRST_ENTROPY_WEIGHT, LAST_ENTROPY_WEIGHT = -0.02, 0.06
LEAD = 0.3
"""The choice is final once the share of the first kind exceeds that of the second by this much."""

UNDECIDED = -1


class Choice(nn.Module):
    r"""All kinds of context of a pair of tasks at once, and learned preferences among them.

    Brüggemann et al., ICCV 2021, arXiv 2104.13874, section 3.3: the context is a convex combination of all kinds and of
    no context, with weights drawn from the preferences alpha by the Gumbel-softmax,

    $$w = \operatorname{softmax}\bigl((\alpha + g) / \tau\bigr), \qquad g_i \sim \operatorname{Gumbel}(0, 1)$$

    The temperature tau falls linearly from 1 to 0.05 over the search. Once the share of one kind in softmax(alpha)
    exceeds that of the next by 0.3, the choice is final (the weights then no longer depend on alpha). Outside of
    training, the most preferred kind is used alone. The entropy of softmax(alpha), averaged over all pairs of tasks, is
    added to the loss with a weight that rises linearly from -0.02 (explore) to 0.06 (decide). It belongs to no task's
    loss, so a hook adds its gradient to that of alpha, whatever balances the losses. These numbers are the public
    code's; that code also gives the preferences an optimiser of their own (Adam, 0.0005).

    The module counts the steps of the search, forward passes in training mode. The count is a part of the state, so a
    resumed search continues.

    Args:
        kinds: The kinds of context to choose from.
        channels: Channels of the features of every task.
        width: Channels of the contexts.
        steps: Number of forward passes in a search.
        pairs: Number of pairs of tasks over which the entropy is averaged.
    """

    passes: Tensor
    decided: Tensor

    def __init__(self, kinds: Sequence[str], channels: int, width: int, *, steps: int, pairs: int) -> None:
        super().__init__()
        self.kinds, self.steps, self.pairs = tuple(kinds), steps, pairs
        self.contexts = nn.ModuleList(CONTEXTS[kind](channels, width, scaled=False) for kind in kinds)
        self.preferences = nn.Parameter(torch.zeros(1 + len(self.kinds)))
        self.preferences.register_hook(self._with_entropy)
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))
        self.register_buffer("decided", torch.full((), UNDECIDED, dtype=torch.int64))

    def forward(
        self, target: Tensor, source: Tensor, target_labels: Tensor | None, source_labels: Tensor | None
    ) -> Tensor:
        """Return the weighted sum of the contexts; see `Context.forward`."""
        weights = self._draw() if self.training else self._most_preferred()
        found = [context(target, source, target_labels, source_labels) for context in self.contexts]
        # The first weight is that of no context: it makes the others smaller.
        return torch.stack([weight * one for weight, one in zip(weights[1:].unbind(), found, strict=True)]).sum(dim=0)

    def relation(self) -> str:
        """Return the kind of context that is preferred so far. Waits for the device."""
        return (NONE, *self.kinds)[int(self._most_preferred().argmax())]

    def _draw(self) -> Tensor:
        with torch.no_grad():
            shares, order = self.preferences.softmax(dim=0).topk(2)
            leads = (shares[0] - shares[1] >= LEAD) & (self.decided == UNDECIDED)
            self.decided.copy_(torch.where(leads, order[0], self.decided))
            temperature = _between(FIRST_TEMPERATURE, LAST_TEMPERATURE, self._progress())
            self.passes.add_(1)
            noise = -torch.empty_like(self.preferences).exponential_().log()
        drawn = ((self.preferences + noise) / temperature).softmax(dim=0)
        return torch.where(self.decided == UNDECIDED, drawn, self._most_preferred())

    def _most_preferred(self) -> Tensor:
        best = torch.where(self.decided == UNDECIDED, self.preferences.argmax(), self.decided)
        return F.one_hot(best, len(self.preferences)).to(self.preferences.dtype)

    def _with_entropy(self, gradient: Tensor) -> Tensor:
        weight = _between(FIRST_ENTROPY_WEIGHT, LAST_ENTROPY_WEIGHT, self._progress()) / self.pairs
        logs = self.preferences.detach().log_softmax(dim=0)
        entropy = -(logs.exp() * logs).sum()
        return gradient - weight * logs.exp() * (logs + entropy)

    def _progress(self) -> Tensor:
        return (self.passes / self.steps).clamp(max=1)


def _between(first: float, last: float, progress: Tensor) -> Tensor:
    return first + (last - first) * progress
