"""FairGrad: alpha-fair improvements of the tasks."""

from typing import Unpack

from equipoise.balancing.balancer import Common
from equipoise.balancing.bargaining_balancer import BargainingBalancer
from equipoise.balancing.bases import Place
from equipoise.balancing.checks import require
from equipoise.balancing.registry import Method
from equipoise.balancing.source import Source


class FairGrad(BargainingBalancer):
    """Weights with G w = w^(-1/alpha) for the Gram matrix G: every task improves by w_i^(-1/alpha).

    `alpha=1` is Nash-MTL; towards 0 the weights tend to 1, towards infinity the improvements become equal. The solution
    is exact, at any scale of the gradients. The authors multiply the update by T before they clip it, LibMTL does
    neither and weights the heads, TorchJD has the mean at alpha = 0.

    A task with a zero gradient is left out. Where no solution exists the step takes the convex combination of least
    norm, which is next to no update, and is counted in `memory["unsolved"]`.

    Args:
        alpha: Fairness, positive.
        max_norm: Largest norm of the update of the shared parameters; none for no limit. Without one the update grows
            as gradients vanish for an alpha above 1.
        measure_at: Where the gradients are looked at.
        scale_heads: Whether the tasks' own parameters also receive the weighted gradient.

    Example:
        >>> import torch, equipoise
        >>> x = torch.ones(2, requires_grad=True)
        >>> balancer = equipoise.FairGrad(alpha=0.5, max_norm=None)
        >>> balancer.backward({"a": 8 ** 0.5 * x[0], "b": x[1]}).weights
        {'a': tensor(0.5000), 'b': tensor(1.)}
    """

    record = Method(
        name="fairgrad",
        title="FairGrad",
        paper='Ban and Ji, "Fair Resource Allocation in Multi-Task Learning", ICML 2024',
        sees=Source.SHARED,
        scale="absolute: the update has at most the norm max_norm",
        heads="plain",
        state="count of unsolved steps",
        sources={
            "alpha": "authors' scripts (default of their class: 1, which is Nash-MTL)",
            "max_norm": "authors' code",
            "measure_at": "paper",
            "scale_heads": "authors' code",
        },
    )

    def __init__(
        self,
        *,
        alpha: float = 2.0,
        max_norm: float | None = 1.0,
        measure_at: Place = "shared",
        scale_heads: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(max_norm=max_norm, measure_at=measure_at, scale_heads=scale_heads, **common)
        require(0 < alpha < float("inf"), "alpha", alpha, "be positive and finite")
        self.alpha = alpha
