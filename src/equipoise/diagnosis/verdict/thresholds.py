"""Where the verdict draws its lines: all of them, each with what it follows from."""

from typing import TypeVar

import numpy as np

Shares = TypeVar("Shares", float, np.ndarray)

STARVED = 0.25
"""A task is starved below this part of its fair share of the update. Shares go with the square of norms, so that this
is a gradient about half as long as the others'. Starved tasks of the papers are far below: P1's edges own 0.0001 of
the update where 0.25 would be fair."""


def dominance(fair: Shares) -> Shares:
    """A task dominates from here on: halfway between its fair share and the whole update.

    >>> dominance(0.5), dominance(0.25)
    (0.75, 0.625)
    """
    return (1 + fair) / 2


DUPLICATE_COSINE = 0.5
"""Tasks are as good as copies of each other above this mean cosine, halfway between independent and identical: the
squared norm of the sum of two gradients of length one, 2 if orthogonal and 4 if equal, is then 3. Copies with heads of
their own come to 0.6 to 0.98 (small networks, SGD and Adam); different tasks that share a network stay below 0.4
(rooms, 32 runs of 11 architectures)."""

CONFLICT_COSINE = -0.3
"""Tasks conflict below this mean cosine: two of the same norm then undo 30 % of the squared norm of their sum. Tasks
that share a network in peace stay above -0.15 (the same runs), and the noise of batches draws cosines towards zero, so
that -0.3 stands for more."""

NOISE_COHERENCE = 0.5
"""A gradient is more noise than signal where its mean cosine with that of another batch is below this. Most gradients
are so in the end, of tasks that have been learnt, hence the lines that follow and the comparison with the other tasks:
theirs must be more alike, or their losses have fallen more than twice as far."""


def noisy_share(fair: Shares) -> Shares:
    """What a task must own of the update for its noise to be named: halfway from its fair share to domination. In the
    first epochs on photographs hardly any gradient is like that of the batch before (cosines within 0.1 of zero on
    NYU-v2), and losses fall slowly: what is so common is named where it is at the others' cost.

    >>> noisy_share(0.5)
    0.625
    """
    return (fair + dominance(fair)) / 2


NOISE_FALL = 0.25
"""A loss that has fallen by less than this part of itself has hardly been learnt: of squared errors, three quarters of
the variance are left unexplained."""

SURE = 0.95
"""How sure something must be before it is said; below 1 - SURE it is said not to be so."""

LIKELY = 0.5
"""What is at least this sure is said as a doubt; and a noisy task that is likely, if not sure, is held to be the cause
of what is sure."""

BLOCKS = 10
"""Into how many blocks the judged steps are divided, at most, to tell how much a mean over them varies. Steps close to
each other resemble each other; blocks as long as can be keep what is correlated together, and of ten the quantile of
Student's distribution is 1.83, near the 1.64 of infinitely many."""

LEAST_STEPS = 10
"""Recorded steps a verdict needs. Half of them are judged, one a block; below five blocks the quantile of Student's
distribution shoots up (2.1 for five, 2.9 for three, 6.3 for two)."""
