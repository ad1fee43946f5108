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
        weights = line.get("weight")
        if line["split"] != "train" or not weights:
            continue
        total = sum(weights.values())
        share = {task: weight / total for task, weight in weights.items()}
        average = average or share
        average = {task: MOMENTUM * average[task] + (1 - MOMENTUM) * share.get(task, average[task]) for task in average}
    if not average:
        raise ValueError(f"`fixed_from` needs a run with loss weights. Found none in {directory}.")
    total = sum(average.values())
    return {task: len(average) * weight / total for task, weight in average.items()}
