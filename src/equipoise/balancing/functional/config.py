"""ConFIG: the direction with equal angles to all gradients."""

from collections.abc import Callable

import torch
from torch import Tensor

from equipoise.balancing.solvers import normalized, read_gram

_LENGTHS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "projection": lambda norms, cosines: torch.dot(norms, cosines),
    "minimum": lambda norms, cosines: norms.min() * cosines.sum(),
    "maximum": lambda norms, cosines: norms.max() * cosines.sum(),
    "harmonic": lambda norms, cosines: cosines.sum() / norms.reciprocal().mean(),
    "arithmetic": lambda norms, cosines: norms.mean() * cosines.sum(),
    "geometric": lambda norms, cosines: norms.log().mean().exp() * cosines.sum(),
}


@torch.no_grad()
def config(gram: Tensor, *, preference: Tensor | None = None, length: str = "projection") -> Tensor:
    r"""Weights of ConFIG (Liu, Chu and Thuerey, ICLR 2025), sum convention.

    .. math:: y = C^+ r,\quad x = \sum_i y_i u_i,\quad d = \ell\, \frac{x}{\lVert x \rVert},\qquad
        \ell = \sum_i \Big\langle g_i, \frac{x}{\lVert x \rVert} \Big\rangle

    with the cosine matrix :math:`C`. For independent gradients all angles are equal and smaller than 90 degrees. For
    dependent ones the angles are a least-squares fit and conflicts can remain. Zero gradients are left out, with weight
    0. Opposite gradients (:math:`x = 0`) give zero weights. The package's shortcut for two tasks leaves rounding noise
    for parallel gradients; here the general formula serves all cases.

    Args:
        gram: Gram matrix of the task gradients, ``J @ J.T``, shape ``[T, T]``.
        preference: Positive target ratios ``r`` of the cosines, shape ``[T]``; ones by default.
        length: ``"projection"`` as above, or ``q * sum of cosines``, where ``q`` is the ``"minimum"``, ``"maximum"``,
            ``"harmonic"``, ``"arithmetic"`` or ``"geometric"`` mean of the norms.

    Returns:
        Weights, possibly negative, shape ``[T]``, dtype and device of ``gram``. Solved in float64.

    Raises:
        ValueError: If ``gram`` is not a finite symmetric matrix, ``preference`` not positive or ``length`` unknown.

    Example:
        >>> import torch
        >>> config(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
        tensor([0.7500, 1.5000])
    """
    if length not in _LENGTHS:
        raise ValueError(f"`length` should be one of {sorted(_LENGTHS)}. Found `length = {length!r}`.")
    host = read_gram(gram)
    wanted = torch.ones_like(host[0]) if preference is None else preference.to(host)
    if wanted.shape != host[0].shape or not (wanted > 0).all().item():
        raise ValueError(
            f"`preference` should hold {len(host)} positive numbers. Found `preference = {wanted.tolist()}`."
        )
    norms, cosines = normalized(host)
    present = norms > 0
    weights = torch.zeros_like(norms)
    if present.any().item():
        weights[present] = _equal_angles(
            norms[present], cosines[present][:, present], wanted[present], _LENGTHS[length], torch.finfo(gram.dtype).eps
        )
    return weights.to(gram)


def _equal_angles(
    norms: Tensor, cosines: Tensor, wanted: Tensor, length: Callable[[Tensor, Tensor], Tensor], precision: float
) -> Tensor:
    tasks = len(norms)
    values, vectors = torch.linalg.eigh(cosines)
    # Nearly parallel gradients are still resolved as long as their eigenvalues are above rounding.
    kept = values > tasks * precision * values[-1]
    along = (vectors.T @ wanted)[kept]
    multipliers = vectors[:, kept] @ (along / values[kept])
    squared = (along**2 / values[kept]).sum()
    # |sum_i y_i u_i| is rounding if `wanted` has no part in the range of the cosines (opposite gradients).
    if not (along**2).sum().item() > tasks * precision * (wanted**2).sum().item():
        return torch.zeros_like(norms)
    reached = (cosines @ multipliers) / squared.sqrt()
    return length(norms, reached) / squared.sqrt() * multipliers / norms
