"""PCGrad: every gradient, projected onto the normal plane of those it conflicts with, in turn."""

from collections.abc import Sequence

from torch import Tensor

from equipoise.balancing.functional.orders import check_order
from equipoise.balancing.solvers import read_gram, to_tensor


def pcgrad(gram: Tensor, order: Sequence[Sequence[int]]) -> Tensor:
    r"""Weights of PCGrad (Yu et al., NeurIPS 2020, algorithm 1), sum convention.

    For each task ``i`` the gradient visits the others: where ``<g_i', g_j> < 0``, ``g_i' -= <g_i', g_j> / ||g_j||^2
    g_j``, with the current ``g_i'`` and the original ``g_j``. The update is the sum of the results. The paper draws the
    order anew for every task; the authors' code discards its shuffle, and several codes visit ``j = i`` too, which
    changes the result where the modified gradient conflicts with its own original. For two tasks the update is twice
    that of UPGrad; for more it can conflict. Zero gradients are skipped.

    Args:
        gram: Gram matrix of the task gradients, ``J @ J.T``, shape ``[T, T]``.
        order: For each task, the other tasks in the order in which it visits them.

    Returns:
        Weights, shape ``[T]``, dtype and device of ``gram``. Computed in float64.

    Raises:
        ValueError: If ``gram`` is not a finite symmetric matrix or ``order`` does not fit it.

    Example:
        >>> import torch
        >>> pcgrad(torch.tensor([[1.0, -1.0], [-1.0, 4.0]]), order=[[1], [0]])
        tensor([2.0000, 1.2500])
    """
    rows = read_gram(gram).rows
    check_order(order, len(rows))
    totals = [1.0] * len(rows)
    for task, visited in enumerate(order):
        products = rows[task]
        for other in visited:
            product = products[other]
            if product < 0 < rows[other][other]:
                share = product / rows[other][other]
                products = [current - share * change for current, change in zip(products, rows[other], strict=True)]
                totals[other] -= share
    return to_tensor(totals).to(gram)
