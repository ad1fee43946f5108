"""What a study tells whoever watches it."""

from collections.abc import Callable
from dataclasses import dataclass

from equipoise.studies.matrix import PlannedRun
from equipoise.training import Status


@dataclass(frozen=True)
class Event:
    """Something to show: a run's progress, its end, or the error it ended with.

    Attributes:
        run: The run.
        status: How far it is.
        ended: Whether this was the end of it.
        error: Why it failed.
        abandoned: Whether it ended because the one who watches wanted so.
    """

    run: PlannedRun
    status: Status | None = None
    ended: bool = False
    error: str | None = None
    abandoned: bool = False


Watch = Callable[[Event], None]
