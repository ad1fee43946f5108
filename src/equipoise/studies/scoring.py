"""How well a finished run does on the split that checkpoints are chosen on."""

import math
from pathlib import Path

from equipoise.metrics import delta_m
from equipoise.studies.matrix import PlannedRun, run_directory
from equipoise.training import read_result
from equipoise.training.selection import main_metrics


def validation_score(run: PlannedRun, root: Path) -> float | None:
    """delta_m of a run's checkpoint on the split that it was chosen on, in percent.

    Args:
        run: Of several tasks, compared with the single-task networks that it needs.
        root: The directory that all studies share.

    Returns:
        Minus infinity where a metric is not finite, as of a network that diverged; none where the run or one of the
        networks that it needs is not finished.
    """
    result = read_result(run.directory(root))
    single: dict[str, float] = {}
    for key in run.needs:
        if (needed := read_result(run_directory(root, key))) is not None:
            single |= needed.validation
    directions = main_metrics(run.config.data.tasks(run.config.tasks))
    if result is None or not directions.keys() <= single.keys():
        return None
    measured = {key: result.validation.get(key, math.nan) for key in directions}
    base = {key: single[key] for key in directions}
    if not all(map(math.isfinite, measured.values())):
        return -math.inf
    if not all(math.isfinite(value) and value > 0 for value in base.values()):
        raise ValueError(f"delta_m needs single-task networks with metrics above 0. Found {base} in {root}.")
    return delta_m(measured, base, directions)
