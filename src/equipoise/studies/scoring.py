"""How well a finished run does on the split that checkpoints are chosen on."""

import math
from collections.abc import Sequence
from pathlib import Path

from equipoise.metrics import delta_m
from equipoise.training import read_result
from equipoise.training.selection import main_metrics


def validation_score(directory: Path, singles: Sequence[Path] = ()) -> float | None:
    """How good the checkpoint of a run is on the split that it was chosen on; higher is better.

    For a network of several tasks delta_m in percent, for one of a single task its main metric with the sign that makes
    more of it better.

    Args:
        directory: Of the run.
        singles: Of the single-task networks that a network of several tasks is compared with.

    Returns:
        Minus infinity where a metric is not finite, as of a network that diverged; none where the run or a network that
        it is compared with is not finished.

    Raises:
        ValueError: A metric of a single-task network is zero, so that nothing is relative to it.
    """
    result = read_result(directory)
    if result is None:
        return None
    directions = main_metrics(result.config.data.tasks(result.config.tasks))
    measured = {key: result.validation.get(key, math.nan) for key in directions}
    if not all(map(math.isfinite, measured.values())):
        return -math.inf
    if len(measured) == 1:
        key, value = next(iter(measured.items()))
        return value if directions[key] else -value
    base: dict[str, float] = {}
    for single in singles:
        if (needed := read_result(single)) is not None:
            base |= needed.validation
    if not directions.keys() <= base.keys():
        return None
    return delta_m(measured, {key: base[key] for key in directions}, directions)
