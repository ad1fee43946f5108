"""An estimate of what a study takes: time, memory and disk, measured on a few training steps."""

import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from pathlib import Path

import torch

from equipoise import balancing
from equipoise.balancing import Need
from equipoise.config import RunConfig
from equipoise.studies.plan.planned_run import PlannedRun
from equipoise.training import prepare, training_step
from equipoise.training.context import further_batches
from equipoise.training.evaluation import evaluate
from equipoise.training.loading import Batch
from equipoise.training.session import EvaluationSplit, Session, build_network

_MOST_STEPS, _MOST_SECONDS = 3, 2.0
"""At most so many steps are timed, and none is begun after so many seconds."""
_LATE_IMPORTS = ("equipoise.balancing.", "equipoise.data.", "equipoise.models.")
"""Packages whose modules are imported when a method, a dataset or a network is first asked for."""


@dataclass(frozen=True)
class RunCost:
    """The cost of one run.

    Attributes:
        step: Seconds of a training step, including the loading of its batch.
        evaluation: Seconds of an evaluation on the split that checkpoints are chosen on.
        test: Seconds of an evaluation on the test split; 0 if that is the same split.
        steps: Training steps of an epoch.
        memory: Bytes at the peak: of the device if the run uses a GPU, else of its process.
        kept: Bytes on disk when the run has ended.
        passing: Bytes of the checkpoint that is there until then.
    """

    step: float
    evaluation: float
    test: float
    steps: int
    memory: int
    kept: int
    passing: int

    def seconds(self, config: RunConfig) -> float:
        """Return the duration of a run with this cost."""
        epochs, every = config.training.epochs, config.training.evaluate_every
        evaluations = -(-epochs // every)
        return epochs * self.steps * self.step + evaluations * self.evaluation + self.test


def cost_class(config: RunConfig) -> str:
    """Return a text that is the same for runs with the same cost of a step.

    Such runs differ in seed, schedule and the way in which their method weighs. Methods have the same cost if they
    measure at the same place and have the same needs. The amount of data has no influence if epochs have a fixed number
    of steps.
    """
    method = balancing.all_methods()[config.balancer.name].info
    place = config.balancer.options.get("measure_at", str(method.default_place))
    cheap = {"epochs", "learning_rate", "weight_decay", "momentum", "evaluate_every"}
    cheap |= {key for key in type(config.training).model_fields if key.startswith("schedule")}
    data = set() if config.training.steps_per_epoch is None else {"subset"}
    content = config.model_dump(mode="json", exclude={"seed": True, "balancer": True, "training": cheap, "data": data})
    content["balancer"] = [place, sorted(need.name for need in method.needs)]
    return json.dumps(content, sort_keys=True)


def estimate(
    runs: Sequence[PlannedRun],
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, RunCost]:
    """Measure every kind of run in a process of its own, on a few training steps and a batch of evaluation.

    Args:
        runs: The runs.
        jobs: Number of runs that will be made at a time and share the cores. They are measured one by one.
        progress: Called with the number of kinds that are measured, and of all kinds.

    Returns:
        The cost of each run by `PlannedRun.key`.

    Raises:
        DatasetError: The data are not there.
        ValueError: A network cannot be built, or a step needs more memory than there is.
    """
    kinds: dict[str, RunConfig] = {}
    kind_of = {}
    for run in runs:
        kind_of[run.key] = kind = cost_class(run.config)
        kinds.setdefault(kind, run.config)
    threads = max(1, torch.get_num_threads() // jobs)
    costs: dict[str, RunCost] = {}
    context = _fresh_processes()
    for kind, config in kinds.items():
        # The peak of a process's memory cannot be reset, so each kind needs a process of its own.
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            try:
                costs[kind] = pool.submit(measure, config, threads).result()
            except torch.OutOfMemoryError as error:
                raise ValueError(f"a step of {_of(config)} needs more memory than the device has ({error})") from error
            except BrokenProcessPool as error:
                raise ValueError(
                    f"the process that measured {_of(config)} was killed, most likely because a step needs more memory "
                    "than there is"
                ) from error
        progress(len(costs), len(kinds))
    return {key: costs[kind] for key, kind in kind_of.items()}


def _of(config: RunConfig) -> str:
    return f"{config.model.architecture} on {config.data.name}"


def _fresh_processes() -> BaseContext:
    """Return a context that starts processes which have computed nothing.

    On Linux they are forks of a process that has made all imports, because imports take longer than most measurements.
    That process must do nothing else: the memory of what it computes would be in the peaks of all forks, and they could
    not use a GPU or threads that it has used. On other systems a fork may break the system's own libraries.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *(name for name in sys.modules if name.startswith(_LATE_IMPORTS))])
    return context


def measure(config: RunConfig, threads: int) -> RunCost:
    """Measure some training steps of a run and the evaluation of a batch, in this process.

    Args:
        config: The run.
        threads: Number of threads that PyTorch may use.
    """
    torch.set_num_threads(threads)
    # Nothing is learnt, so the published weights are not needed.
    config = config.model_copy(
        update={
            "model": config.model.model_copy(update={"pretrained": False}),
            "training": config.training.model_copy(update={"workers": 0}),
        }
    )
    session = prepare(config)
    _give_teachers(session, config)
    loading, batch = _time_loading(lambda: session.train_loader.stream([0]))
    stepping = _time_steps(session, batch)
    evaluation = _time_evaluation(session, session.chosen_on)
    test = 0.0 if session.chosen_on.split == "test" else _time_evaluation(session, session.test)
    network = _bytes(session.model.state_dict())
    moments = sum(_bytes(state) for state in session.optimizer.state.values())
    state = _bytes(session.balancer.state_dict())
    return RunCost(
        step=loading + stepping,
        evaluation=evaluation,
        test=test,
        steps=len(session.train_loader),
        memory=_peak_memory(session.fabric.device),
        kept=network + (state if Need.ADAPT in session.balancer.needs else 0),
        passing=network + moments + state,
    )


def _give_teachers(session: Session, config: RunConfig) -> None:
    """Give the session untrained teachers, which take as long as trained ones."""
    if Need.TEACHERS in session.balancer.needs or session.feature_distance is not None:
        session.teachers = {
            task: build_network(config.model_copy(update={"tasks": (task,)}), pretrained=False)
            .to(session.fabric.device)
            .eval()
            .requires_grad_(False)
            for task in session.tasks
        }


def _time_loading(batches: Callable[[], Iterator[Batch]]) -> tuple[float, Batch]:
    """Return the seconds to load a batch, and the batch.

    The second loading counts, when files that a run decodes once are decoded.
    """
    next(batches())
    started = time.perf_counter()
    batch = next(batches())
    return time.perf_counter() - started, batch


def _time_steps(session: Session, batch: Batch) -> float:
    """Return the seconds of a training step on a batch: the shortest after the first."""
    further = further_batches(session, 0)

    def step() -> float:
        _synchronise(session.fabric.device)
        started = time.perf_counter()
        training_step(session, batch, further)
        _synchronise(session.fabric.device)
        return time.perf_counter() - started

    # The first step allocates memory. If it takes long, the allocation is a small part of it.
    first = step()
    times: list[float] = []
    while len(times) < _MOST_STEPS and first + sum(times) < _MOST_SECONDS:
        times.append(step())
    return min(times, default=first)


def _time_evaluation(session: Session, split: EvaluationSplit) -> float:
    """Return the seconds of an evaluation on a split, from one batch."""
    loading, batch = _time_loading(lambda: iter(split.loader))
    started = time.perf_counter()
    evaluate(session, split.tasks, [batch], lambda: None)
    _synchronise(session.fabric.device)
    return len(split.loader) * (loading + time.perf_counter() - started)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_memory(device: torch.device) -> int:
    """Return the peak memory in bytes: of the device if it is a GPU, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # Linux counts kibibytes, macOS bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if sys.platform == "linux" and multiprocessing.parent_process() is not None:
        # A fork has all that imports have computed, but of their libraries only the pages that it has used since.
        peak += max(0, _file_memory(os.getppid()) - _file_memory(os.getpid()))
    return peak


def _file_memory(process: int) -> int:
    """Return the bytes of files, such as libraries, that a process has in its memory now."""
    pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[2]
    return int(pages) * resource.getpagesize()


def _bytes(state: Mapping[str, object] | Iterable[object]) -> int:
    """Return the bytes of all tensors in a state."""
    values = state.values() if isinstance(state, Mapping) else state
    return sum(value.numel() * value.element_size() for value in values if isinstance(value, torch.Tensor))
