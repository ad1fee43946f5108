"""All thresholds of the verdict, each with its justification."""

from typing import TypeVar

import numpy as np

Shares = TypeVar("Shares", float, np.ndarray)

STARVED = 0.25
"""A task is starved below this part of its fair share of the update. Shares grow with the square of norms, so that this
is a gradient about half as long as the others'. Starved tasks of the papers are far below: the edges of Guo et al.
(2025) get 0.0001 of the update, where 0.25 would be fair."""


def dominance(fair: Shares) -> Shares:
    """Return the share above which a task dominates: halfway between its fair share and the whole update.

    Example:
        >>> dominance(0.5), dominance(0.25)
        (0.75, 0.625)
    """
    return (1 + fair) / 2


DUPLICATE_COSINE = 0.5
"""Two tasks are duplicates above this mean cosine, halfway between independent and identical: the squared norm of the
sum of two unit gradients is 2 if they are orthogonal, 4 if they are equal, and 3 here. Copies of a task with heads of
their own have 0.6 to 0.98 (small networks, SGD and Adam). Different tasks that share a network stay below 0.4 (rooms,
32 runs of 11 architectures)."""

CONFLICT_COSINE = -0.3
"""Two tasks conflict below this mean cosine. Two gradients of the same norm then cancel 30 % of the squared norm that
their sum would have if they were orthogonal. Tasks that share a network without conflict stay above -0.15 (the same
runs). The noise of batches draws cosines towards zero, so that the conflict behind -0.3 is stronger."""

NOISE_COHERENCE = 0.5
"""A gradient is more noise than signal if its mean cosine with that of another batch is below this. Most gradients of
learnt tasks become like this in the end. A task is therefore noisy only if the following thresholds are passed, too,
and if the gradients of the other tasks are more coherent, or their losses have fallen more than twice as far."""


def noisy_share(fair: Shares) -> Shares:
    """Return the share above which noise is reported: halfway between the fair share and dominance.

    Noise is reported only if it takes other tasks' share. In the first epochs on photographs, hardly any gradient is
    like that of the batch before (cosines within 0.1 of zero on NYU-v2), and losses fall slowly.

    Example:
        >>> noisy_share(0.5)
        0.625
    """
    return (fair + dominance(fair)) / 2


NOISE_FALL = 0.25
"""A task has hardly been learnt if its loss has fallen by less than this part of itself. For squared errors, three
quarters of the variance are then unexplained."""

SURE = 0.95
"""A finding is reported if it is at least this certain. Below 1 - SURE it is ruled out."""

LIKELY = 0.5
"""A finding that is at least this certain, but not sure, is reported as unconfirmed. A task that is likely to be noisy
may be the cause of sure findings."""

BLOCKS = 10
"""The analysed steps are divided into at most this many blocks, to estimate how much a mean over them varies.
Neighbouring steps resemble each other, and long blocks keep correlated steps together. With ten blocks the quantile of
Student's distribution is 1.83, near the 1.64 of infinitely many."""

LEAST_STEPS = 10
"""The number of recorded steps that a verdict needs. Half of them are analysed, one a block. Below five blocks the
quantile of Student's distribution grows fast (2.1 for five, 2.9 for three, 6.3 for two)."""
