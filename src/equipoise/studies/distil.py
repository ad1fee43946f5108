"""Fixed weights from a run that balanced by itself."""

from pathlib import Path

from equipoise.training.logs import read_log

MOMENTUM = 0.9


def distilled_weights(directory: Path) -> dict[str, float]:
    """The weights that a run settled on, as paper two distils them (section 5.6).

    The mean weights of every epoch are divided by their sum, and averaged over epochs by an exponential moving average
    with momentum 0.9 that starts at the first; its last value is taken. Paper two lets them sum to 1, since its uniform
    loss is a mean; ours is a sum, so they sum to the number of tasks.

    Args:
        directory: Of a finished run.

    Raises:
        ValueError: The run has recorded no weights, as those of methods that do not weigh losses.
    """
    average: dict[str, float] = {}
    for line in read_log(directory):
        # A task that has had no labels in an epoch, or no finite weight, has none there.
        weights: dict[str, float] = {task: w for task, w in line.get("weight", {}).items() if w is not None}
        if line["split"] != "train" or not weights:
            continue
        total = sum(weights.values())
        for task, weight in weights.items():
            share = weight / total
            average[task] = MOMENTUM * average.get(task, share) + (1 - MOMENTUM) * share
    if not average:
        raise ValueError(f"`fixed_from` needs a run with loss weights. Found none in {directory}.")
    total = sum(average.values())
    return {task: len(average) * weight / total for task, weight in average.items()}
