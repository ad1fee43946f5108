"""The training loop."""

import platform
import shutil
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from equipoise._core.files import sweep, write_text
from equipoise._core.version import __version__
from equipoise.balancing import Balance, Need
from equipoise.config import RunConfig
from equipoise.training.checkpoints import CHECKPOINT, Progress, keep, load_checkpoint, load_kept, save_checkpoint
from equipoise.training.context import context_of, endless, forward, load_teachers, taught
from equipoise.training.evaluation import Evaluation, evaluate
from equipoise.training.logs import EpochEnd, Log, ProgressMeter, Status
from equipoise.training.selection import RunResult, Selection, read_result
from equipoise.training.session import EvaluationSplit, Session, prepare


def train(
    config: RunConfig,
    directory: Path,
    *,
    single: Mapping[str, float] | None = None,
    teachers: Mapping[str, Path] | None = None,
    watch: Callable[[Status], None] = lambda status: None,
) -> RunResult:
    """Train a network, or go on where an interrupted training stopped, or return the result that is there already.

    Args:
        config: What to train.
        directory: The run's own; holds `config.yaml`, `metrics.jsonl`, `probe.parquet`, `feature_distance.parquet`
            where asked for, TensorBoard files, `checkpoint.pt` while training, `best.safetensors` (and
            `best_balancer.pt` where the balancer is a part of the network) and at the end `result.json`.
        single: Main metrics (`task.metric`) of single-task networks on the split the checkpoint is chosen on.
        teachers: Directories of finished single-task runs by task, for balancers that learn from their networks, and
            for the distance of features to theirs.
        watch: Told how far the run is; may raise `Abandoned`, after which the run can be taken up again.

    Raises:
        Abandoned: By `watch`.
        NonFiniteError: A loss or gradient became NaN or infinite.
        ValueError: The configuration asks for what cannot be had, or the balancer for a teacher that is not there.
    """
    if (finished := read_result(directory)) is not None:
        return finished
    directory.mkdir(parents=True, exist_ok=True)
    sweep(directory)
    write_text(directory / "config.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    session = prepare(config, directory)
    _give_teachers(session, teachers or {})
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
            of_epoch = islice(batches, len(session.train_loader))
            averages = _train_epoch(session, config, epoch, of_epoch, progress, meter)
            progress.epoch = epoch
            score = None
            log.write(epoch, progress.step, "train", **averages)
            if epoch in evaluations:
                meter.doing = f"epoch {epoch}/{epochs}, measuring"
                found = _measure(session, session.chosen_on, meter)
                log.write(epoch, progress.step, session.chosen_on.split, metric=found.metrics, loss=found.losses)
                score = _keep_if_best(session, found, selection, progress, directory)
                _keep_further(session, found, selection, progress, directory)
            progress.seconds = time.monotonic() - started
            if session.probe is not None:
                progress.probed, progress.sampled = session.probe.steps, session.probe.sampled
                session.probe.flush()
            if session.distance is not None:
                session.distance.flush()
            save_checkpoint(session, progress, directory)
            meter.tell(EpochEnd(epoch, progress.seconds, score))
    skipped_steps = session.balancer.skipped_steps
    validation = progress.best_metrics | progress.further
    meter.doing = "testing"
    metrics = validation
    # A checkpoint that was chosen on the test split has been measured there.
    if session.chosen_on.split != "test":
        further = {metric: _test(session, directory / metric, meter)[metric] for metric in progress.further}
        metrics = _test(session, directory, meter) | further
    result = RunResult(
        config=config,
        metrics=metrics,
        validation=validation,
        losses=progress.best_losses,
        weights=_mean_weights(progress),
        epoch=progress.best_epoch,
        steps=progress.step,
        skipped_steps=skipped_steps,
        parameters=_count(session),
        seconds=time.monotonic() - started,
        selection=selection.criterion,
        versions={"equipoise": __version__, "torch": torch.__version__, "python": platform.python_version()},
    )
    result.write(directory)
    (directory / CHECKPOINT).unlink(missing_ok=True)
    for metric in progress.further:
        shutil.rmtree(directory / metric, ignore_errors=True)
    return result


def _give_teachers(session: Session, directories: Mapping[str, Path]) -> None:
    tasks, device = session.tasks, session.fabric.device
    if Need.TEACHERS in session.balancer.needs:
        session.teachers = load_teachers(directories, tasks, device)
    elif session.distance is not None:
        # What only looks on must not end a training: tasks that cannot be compared are left out.
        found = [task for task in tasks if task in directories]
        if len(found) < len(tasks):
            warnings.warn(
                f"`feature_distance` needs finished single-task networks. Found none of "
                f"{', '.join(task for task in tasks if task not in found)}, which are left out. `equipoise bench` "
                "trains them.",
                stacklevel=2,
            )
        session.teachers = load_teachers(directories, found, device)


def _train_epoch(
    session: Session,
    config: RunConfig,
    epoch: int,
    batches: Iterable[dict[str, Tensor]],
    progress: Progress,
    meter: ProgressMeter,
) -> dict[str, Any]:
    seed = _epoch_seed(config.seed, epoch)
    torch.manual_seed(seed)
    meter.doing = f"epoch {epoch}/{config.training.epochs}"
    sums: dict[str, dict[str, Tensor]] = {"loss": {}, "weight": {}}
    counts: dict[str, int] = defaultdict(int)
    further = endless(session, seed)
    for batch in batches:
        balance = _step(session, session.fabric.to_device(batch), further, config.training.clip)
        if balance is not None and not balance.skipped:
            for group, values in (("loss", balance.losses), ("weight", balance.weights or {})):
                for task, value in values.items():
                    sums[group][task] = sums[group].get(task, 0) + value.float()
            for task in balance.losses:
                counts[task] += 1
        session.schedule.after_step()
        progress.step += 1
        meter()
    session.balancer.end_epoch()
    session.schedule.after_epoch()
    totals = {group: {task: float(value) for task, value in values.items()} for group, values in sums.items()}
    for task, value in totals["weight"].items():
        progress.weight_sums[task] = progress.weight_sums.get(task, 0.0) + value
        progress.weight_counts[task] = progress.weight_counts.get(task, 0) + counts[task]
    averages = {group: {task: v / counts[task] for task, v in values.items()} for group, values in totals.items()}
    return averages | {"rate": {"learning": session.optimizer.param_groups[0]["lr"]}}


def _step(
    session: Session, batch: dict[str, Tensor], further: Iterator[dict[str, Tensor]], clip: float
) -> Balance | None:
    """Make one step; none if the batch has no labels at all."""
    session.optimizer.zero_grad(set_to_none=True)
    now = forward(session, batch)
    if not now.losses:
        return None
    context = context_of(session, batch, further)
    balance = session.balancer.backward(
        now.losses, features=now.features, last_layer=session.last_layer, context=context, probe=session.probe
    )
    if session.distance is not None:
        session.distance.observe(now.features, lambda: taught(session, batch))
    if clip > 0:
        torch.nn.utils.clip_grad_norm_(session.model.parameters(), clip)
    if not balance.skipped:
        session.optimizer.step()
        session.balancer.after_step(context)
    return balance


def _measure(session: Session, held: EvaluationSplit, meter: ProgressMeter) -> Evaluation:
    return evaluate(
        session.fabric, session.model, session.balancer.adapt, held.tasks, held.loader, session.input, meter
    )


def _test(session: Session, directory: Path, meter: ProgressMeter) -> dict[str, float]:
    """The metrics on the test split of the network that was kept in a directory."""
    load_kept(directory, session.model, session.balancer, session.fabric.device)
    return _measure(session, session.test, meter).metrics


def _epoch_seed(seed: int, epoch: int) -> int:
    # One seed an epoch stands for all random states: order of the data, augmentation, dropout. A resumed run starts at
    # an epoch.
    return seed * 1_000_003 + epoch


def _keep_if_best(
    session: Session, found: Evaluation, selection: Selection, progress: Progress, directory: Path
) -> float:
    """Keep the network if its evaluation is the best so far; return the score of the evaluation."""
    score = selection.score(found)
    session.schedule.after_evaluation(score)
    progress.first_losses = selection.first_losses
    if progress.best_epoch == 0 or score > progress.best_score:
        progress.best_score, progress.best_epoch = score, progress.epoch
        progress.best_metrics, progress.best_losses = found.metrics, found.losses
        keep(directory, session.model, session.balancer)
    return score


def _keep_further(
    session: Session, found: Evaluation, selection: Selection, progress: Progress, directory: Path
) -> None:
    """Keep the network in a folder of its own for every metric of which this is the best evaluation."""
    for metric in selection.further:
        if selection.score_by(metric, found.metrics) > selection.score_by(metric, progress.further):
            progress.further[metric] = found.metrics[metric]
            (directory / metric).mkdir(exist_ok=True)
            keep(directory / metric, session.model, session.balancer)


def _mean_weights(progress: Progress) -> dict[str, float]:
    counts = progress.weight_counts
    return {task: value / counts[task] for task, value in progress.weight_sums.items() if counts[task]}


def _count(session: Session) -> dict[str, int]:
    shared = sum(parameter.numel() for parameter in session.model.shared_parameters())
    own = {task: sum(p.numel() for p in session.model.task_parameters(task)) for task in session.tasks}
    return {"shared": shared, **own}
