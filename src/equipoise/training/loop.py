"""The training loop: from the configuration of a run to its result."""

import platform
import shutil
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from equipoise._core.files import sweep, write_text
from equipoise._core.version import __version__
from equipoise.balancing import Need
from equipoise.config import RunConfig
from equipoise.models import MultiTaskModel
from equipoise.training.checkpoints import (
    CHECKPOINT,
    TrainingProgress,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    save_weights,
)
from equipoise.training.context import further_batches, load_teachers
from equipoise.training.evaluation import Evaluation, evaluate
from equipoise.training.loading import Batch
from equipoise.training.logs import EpochEnd, Log, ProgressMeter, Status
from equipoise.training.selection import RunResult, Selection, read_result
from equipoise.training.session import Session, prepare
from equipoise.training.step import training_step


def train(
    config: RunConfig,
    directory: Path,
    *,
    single: Mapping[str, float] | None = None,
    teachers: Mapping[str, Path] | None = None,
    watch: Callable[[Status], None] = lambda status: None,
) -> RunResult:
    """Train a network. An interrupted run is continued; a finished run returns its result.

    Args:
        config: The configuration of the run.
        directory: The directory of the run. It receives `config.yaml`, `metrics.jsonl`, TensorBoard files,
            `probe.parquet` and `feature_distance.parquet` if the configuration asks for them, `best.safetensors`,
            `best_balancer.pt` if the balancer is a part of the network, `checkpoint.pt` while the run is unfinished,
            and at the end `result.json`.
        single: Main metrics (`task.metric`) of single-task networks on the split that the checkpoint is chosen on.
        teachers: Directories of finished single-task runs by task, for methods that learn from single-task networks and
            for the feature distance.
        watch: Called with the status of the run. It may raise `Abandoned`; the run can then be continued later.

    Returns:
        The result of the run.

    Raises:
        Abandoned: By `watch`.
        NonFiniteError: A loss or gradient became NaN or infinite.
        ValueError: The configuration asks for something that does not exist, or a teacher is missing.
    """
    if (finished := read_result(directory)) is not None:
        return finished
    directory.mkdir(parents=True, exist_ok=True)
    sweep(directory)
    write_text(directory / "config.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    session = prepare(config, directory)
    session.teachers = _teachers(session, teachers or {})
    selection = Selection(session.tasks, single)
    progress = load_checkpoint(session, directory, selection.criterion)
    selection.first_losses = progress.first_losses
    epochs, every = config.training.epochs, config.training.evaluate_every
    evaluations = [epoch for epoch in range(1, epochs + 1) if epoch % every == 0 or epoch == epochs]
    meter = ProgressMeter(watch, session, epochs, evaluations, progress.epoch, tests=1 + len(selection.further))
    started = time.monotonic() - progress.seconds
    remaining = range(progress.epoch + 1, epochs + 1)
    batches = session.train_loader.stream(_epoch_seed(config.seed, epoch) for epoch in remaining)

    with Log(directory, progress.epoch, progress.step) as log:
        for epoch in remaining:
            meter.doing = f"epoch {epoch}/{epochs}"
            epoch_batches = islice(batches, len(session.train_loader))
            averages = _train_epoch(session, epoch_batches, _epoch_seed(config.seed, epoch), progress, meter)
            log.write(epoch, progress.step, "train", **averages)
            progress.epoch, score = epoch, None
            if epoch in evaluations:
                meter.doing = f"epoch {epoch}/{epochs}, evaluating"
                evaluation = evaluate(session, session.chosen_on.tasks, session.chosen_on.loader, meter)
                log.write(
                    epoch, progress.step, session.chosen_on.split, metric=evaluation.metrics, loss=evaluation.losses
                )
                score = selection.score(evaluation)
                session.schedule.after_evaluation(score)
                _keep_best(session, evaluation, score, selection, progress, directory)
            progress.seconds = time.monotonic() - started
            save_checkpoint(session, progress, directory)
            meter.report(EpochEnd(epoch, progress.seconds, score))

    # Loading the best weights may replace the balancer's state, and with it this count.
    skipped_steps = session.balancer.skipped_steps
    meter.doing = "testing"
    result = RunResult(
        config=config,
        metrics=_test(session, progress, directory, meter),
        validation=progress.best_metrics | progress.further,
        losses=progress.best_losses,
        weights=progress.mean_weights(),
        epoch=progress.best_epoch,
        steps=progress.step,
        skipped_steps=skipped_steps,
        parameters=_parameter_counts(session),
        seconds=time.monotonic() - started,
        selection=selection.criterion,
        versions={"equipoise": __version__, "torch": torch.__version__, "python": platform.python_version()},
    )
    result.write(directory)
    (directory / CHECKPOINT).unlink(missing_ok=True)
    for metric in progress.further:
        shutil.rmtree(directory / metric, ignore_errors=True)
    return result


def _teachers(session: Session, directories: Mapping[str, Path]) -> Mapping[str, MultiTaskModel]:
    """Load the single-task networks that the method or the feature distance needs."""
    if Need.TEACHERS in session.balancer.needs:
        return load_teachers(directories, session.tasks, session.fabric.device)
    if session.feature_distance is None:
        return {}
    # A measurement must not end a training: tasks without a single-task network are left out.
    missing = [task for task in session.tasks if task not in directories]
    if missing:
        warnings.warn(
            f"`feature_distance` needs finished single-task networks. Found none of {', '.join(missing)}: their "
            "distances are left out. `equipoise bench` trains these networks.",
            stacklevel=2,
        )
    found = [task for task in session.tasks if task in directories]
    return load_teachers(directories, found, session.fabric.device)


def _epoch_seed(seed: int, epoch: int) -> int:
    # The order of the data, augmentation and dropout of an epoch follow from this seed. A run resumes at an epoch.
    return seed * 1_000_003 + epoch


def _train_epoch(
    session: Session, batches: Iterable[Batch], seed: int, progress: TrainingProgress, meter: ProgressMeter
) -> dict[str, Any]:
    """Make the steps of an epoch; return mean losses and weights by task, and the learning rate, for the log."""
    torch.manual_seed(seed)
    further = further_batches(session, seed)
    sums: dict[str, dict[str, Tensor]] = {"loss": {}, "weight": {}}
    counts: dict[str, int] = defaultdict(int)
    for batch in batches:
        balance = training_step(session, batch, further)
        if balance is not None and not balance.skipped:
            for group, values in (("loss", balance.losses), ("weight", balance.weights or {})):
                for task, value in values.items():
                    sums[group][task] = sums[group].get(task, 0) + value.float()
            for task in balance.losses:
                counts[task] += 1
        progress.step += 1
        meter()
    session.balancer.end_epoch()
    session.schedule.after_epoch()
    totals = {group: {task: float(value) for task, value in values.items()} for group, values in sums.items()}
    for task, total in totals["weight"].items():
        progress.weight_sums[task] = progress.weight_sums.get(task, 0.0) + total
        progress.weight_counts[task] = progress.weight_counts.get(task, 0) + counts[task]
    means = {group: {task: total / counts[task] for task, total in of.items()} for group, of in totals.items()}
    return means | {"rate": {"learning": session.optimizer.param_groups[0]["lr"]}}


def _keep_best(
    session: Session,
    evaluation: Evaluation,
    score: float,
    selection: Selection,
    progress: TrainingProgress,
    directory: Path,
) -> None:
    """Save the weights if the evaluation is the best so far, by the score or by a further metric."""
    progress.first_losses = selection.first_losses
    if progress.best_epoch == 0 or score > progress.best_score:
        progress.best_score, progress.best_epoch = score, progress.epoch
        progress.best_metrics, progress.best_losses = evaluation.metrics, evaluation.losses
        save_weights(directory, session.model, session.balancer)
    for metric in selection.further:
        if selection.score_by(metric, evaluation.metrics) > selection.score_by(metric, progress.further):
            progress.further[metric] = evaluation.metrics[metric]
            (directory / metric).mkdir(exist_ok=True)
            save_weights(directory / metric, session.model, session.balancer)


def _test(session: Session, progress: TrainingProgress, directory: Path, meter: ProgressMeter) -> dict[str, float]:
    """Return the metrics of the best checkpoint on the test split, and those of the best checkpoint by each metric."""
    # A checkpoint that was chosen on the test split has been evaluated there.
    if session.chosen_on.split == "test":
        return progress.best_metrics | progress.further

    def metrics_of(weights: Path) -> dict[str, float]:
        load_weights(weights, session.model, session.balancer, session.fabric.device)
        return evaluate(session, session.test.tasks, session.test.loader, meter).metrics

    further = {metric: metrics_of(directory / metric)[metric] for metric in progress.further}
    return metrics_of(directory) | further


def _parameter_counts(session: Session) -> dict[str, int]:
    shared = sum(parameter.numel() for parameter in session.model.shared_parameters())
    own = {task: sum(p.numel() for p in session.model.task_parameters(task)) for task in session.tasks}
    return {"shared": shared, **own}
