"""ConFIG: the direction with equal angles to all gradients."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, Unpack

from torch import Tensor

from equipoise.balancing.balancer import Common
from equipoise.balancing.bases import Place
from equipoise.balancing.checks import require
from equipoise.balancing.evidence import Evidence
from equipoise.balancing.functional import config
from equipoise.balancing.gram_balancer import GramBalancer
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source

Length = Literal["projection", "minimum", "maximum", "harmonic", "arithmetic", "geometric"]


class ConFIG(GramBalancer):
    """The direction with the same positive cosine to every gradient, as long as their projections onto it together.

    It is IMTL-G's direction without its uphill steps, and with another length. Dependent gradients are fitted in the
    least-squares sense and can conflict. A zero gradient is left out, with the weight 0; opposite gradients give no
    update. The authors' package has a shortcut for two tasks that is wrong for parallel gradients.

    Args:
        preference: Positive numbers to which the cosines are proportional, by task; 1 for tasks that are not named.
        length: "projection", or the sum of the cosines times the "minimum", "maximum", or "harmonic", "arithmetic" or
            "geometric" mean of the gradients' norms.
        measure_at: Where the gradients are looked at.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> equipoise.ConFIG().backward({"a": 2 * x[0], "b": x[1]}).weights
        {'a': tensor(0.7500), 'b': tensor(1.5000)}
    """

    record = Method(
        name="config",
        title="Conflict-free inverse gradients",
        paper='Liu et al., "ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks", ICLR 2025',
        sees=Source.SHARED,
        scale="sum: T identical tasks give T times the gradient of one",
        heads="plain",
        state="count of unsolved steps",
        sources={
            "preference": "paper",
            "length": "paper",
            "measure_at": "paper",
            "scale_heads": "authors' code: the sum of losses",
        },
    )

    def __init__(
        self,
        *,
        preference: Mapping[str, float] = MappingProxyType({}),
        length: Length = "projection",
        measure_at: Place = "shared",
        scale_heads: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(measure_at=measure_at, scale_heads=scale_heads, **common)
        for task, value in preference.items():
            require(0 < value < float("inf"), f"preference[{task!r}]", value, "be positive and finite")
        known = ("projection", "minimum", "maximum", "harmonic", "arithmetic", "geometric")
        require(length in known, "length", length, f"be one of {', '.join(known)}")
        self.preference, self.length = dict(preference), length

    def solve(self, evidence: Evidence, gram: Tensor) -> Tensor:
        """The closed form."""
        wanted = gram.new_tensor([self.preference.get(task, 1.0) for task in evidence.tasks])
        return config(gram, preference=wanted, length=self.length)
