"""The weights that methods without weights give in effect."""

import numpy as np

_DEPENDENT = 1e-3
"""Combinations of unit gradients with a smaller square than this, over that of the longest, are no direction."""


def implied_weights(gram: np.ndarray, with_update: np.ndarray) -> np.ndarray:
    r"""The weights whose weighted sum of task gradients comes nearest to an update.

    The update of methods such as GradDrop and DB-MTL is no weighted sum of the gradients of the step. Its projection on
    them is one, :math:`G w = (g_i \cdot u)_i`; where several weights make it, as of gradients that are copies of each
    other, these are the nearest to 1, contributions measured by their length.

    Args:
        gram: Inner products of the task gradients, [T, T].
        with_update: Their inner products with the update, [T].

    Returns:
        [T]; NaN where something given is not finite.
    """
    norms = np.sqrt(np.clip(gram.diagonal(), 0, None))
    lengths = np.where(norms > 0, norms, 1.0)
    cosines = gram / np.outer(lengths, lengths)
    missing = (with_update - gram.sum(axis=1)) / lengths
    if not (np.isfinite(cosines).all() and np.isfinite(missing).all()):
        return np.full(len(norms), np.nan)
    return 1 + np.linalg.pinv(cosines, rcond=_DEPENDENT, hermitian=True) @ missing / lengths
