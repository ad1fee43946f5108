"""What a study will take: time, memory and disk, from a few steps that are really made."""

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
from equipoise.training.context import context_of, endless, forward
from equipoise.training.evaluation import evaluate
from equipoise.training.session import EvaluationSplit, Session, build_network, prepare

_STEPS, _ENOUGH = 3, 2.0
"""At most so many steps are timed, and none after so many seconds."""
_FOUND = ("equipoise.balancing.", "equipoise.data.", "equipoise.models.")
"""Where the modules are that are imported when a method, a dataset or a network is asked for."""


@dataclass(frozen=True)
class RunCost:
    """What one run takes.

    Attributes:
        step: Seconds of a training step, the loading of its batch included.
        evaluation: Seconds of a pass over the split that checkpoints are chosen on.
        test: Seconds of a pass over the test split; 0 where that is the same.
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
        """The time of a run with this cost."""
        epochs, every = config.training.epochs, config.training.evaluate_every
        evaluations = -(-epochs // every)
        return epochs * self.steps * self.step + evaluations * self.evaluation + self.test


def cost_class(config: RunConfig) -> str:
    """What runs must have in common to cost the same a step: all but seed, schedule and how their method weighs.

    Methods cost the same if they look at the same gradients and need the same besides losses; and where epochs have a
    length of their own, a step takes no longer with more data to choose from.
    """
    method = balancing.all_methods()[config.balancer.name].info
    default_place = config.balancer.options.get("measure_at", str(method.default_place))
    cheap = {"epochs", "learning_rate", "weight_decay", "momentum", "evaluate_every"}
    cheap |= {key for key in type(config.training).model_fields if key.startswith("schedule")}
    data = set() if config.training.steps_per_epoch is None else {"subset"}
    content = config.model_dump(mode="json", exclude={"seed": True, "balancer": True, "training": cheap, "data": data})
    content["balancer"] = [default_place, sorted(need.name for need in method.needs)]
    return json.dumps(content, sort_keys=True)


def estimate(
    runs: Sequence[PlannedRun],
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, RunCost]:
    """Make some steps and evaluate a batch for every kind of run, each in a process of its own.

    Args:
        runs: The runs.
        jobs: How many are to be made at a time, which share the cores; they are measured alone.
        progress: Called with how many of how many kinds are measured.

    Returns:
        What each run costs, by `PlannedRun.key`.

    Raises:
        DatasetError: The data are not there.
        ValueError: A network cannot be built.
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
        # The peak of a process's memory cannot be reset, so that each kind needs one of its own.
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


def _fresh_processes() -> BaseContext:
    """What starts processes that have computed nothing; on Linux by a fork of one that has made all imports.

    Imports take longer than most measurements. Nothing else may happen in the process that is forked: it would be in
    the peaks of all others, and they could not use a GPU or threads that it has used. Elsewhere than on Linux, the
    system's own libraries may not stand a fork.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *(name for name in sys.modules if name.startswith(_FOUND))])
    return context


def _of(config: RunConfig) -> str:
    return f"{config.model.architecture} on {config.data.name}"


def measure(config: RunConfig, threads: int) -> RunCost:
    """Make some steps of a run and evaluate one batch, in this process.

    Args:
        config: The run.
        threads: How many threads PyTorch may use.
    """
    torch.set_num_threads(threads)
    # Nothing is learnt that would need the published weights, or be looked at.
    config = config.model_copy(
        update={
            "model": config.model.model_copy(update={"pretrained": False}),
            "training": config.training.model_copy(update={"workers": 0}),
        }
    )
    session = prepare(config)
    _give_teachers(session, config)
    loading, batch = _loaded(lambda: session.train_loader.stream([0]))
    stepping = _time_steps(session, dict(batch), config.training.clip)
    evaluation = _pass(session, session.chosen_on)
    test = 0.0 if session.chosen_on.split == "test" else _pass(session, session.test)
    network = _bytes(session.model.state_dict())
    moments = sum(_bytes(state) for state in session.optimizer.state.values())
    state = _bytes(session.balancer.state_dict())
    return RunCost(
        step=loading + stepping,
        evaluation=evaluation,
        test=test,
        steps=len(session.train_loader),
        memory=_peak(session.fabric.device),
        kept=network + (state if Need.ADAPT in session.balancer.needs else 0),
        passing=network + moments + state,
    )


def _give_teachers(session: Session, config: RunConfig) -> None:
    if Need.TEACHERS in session.balancer.needs:
        # Networks that have learnt nothing take as long as finished ones.
        session.teachers = {
            task: build_network(config.model_copy(update={"tasks": (task,)}), pretrained=False)
            .to(session.fabric.device)
            .eval()
            .requires_grad_(False)
            for task in session.tasks
        }


def _loaded(batches: Callable[[], Iterator[Mapping[str, torch.Tensor]]]) -> tuple[float, Mapping[str, torch.Tensor]]:
    """Seconds to load a batch, and the batch; it is the second time, when what a run decodes once is decoded."""
    seconds, batch = 0.0, {}
    for _ in range(2):
        started = time.perf_counter()
        batch = next(batches())
        seconds = time.perf_counter() - started
    return seconds, batch


def _time_steps(session: Session, batch: dict[str, torch.Tensor], clip: float) -> float:
    batch = session.fabric.to_device(batch)
    further = endless(session, 0)

    def step() -> float:
        _synchronise(session.fabric.device)
        started = time.perf_counter()
        session.optimizer.zero_grad(set_to_none=True)
        now = forward(session, batch)
        context = context_of(session, batch, further)
        session.balancer.backward(
            now.losses, features=now.features, last_layer=session.last_layer, context=context, probe=session.probe
        )
        if clip > 0:
            torch.nn.utils.clip_grad_norm_(session.model.parameters(), clip)
        session.optimizer.step()
        session.balancer.after_step(context)
        _synchronise(session.fabric.device)
        return time.perf_counter() - started

    # The first lays out memory; where it takes long, that is a small part of it.
    first = step()
    times: list[float] = []
    while len(times) < _STEPS and first + sum(times) < _ENOUGH:
        times.append(step())
    return min(times, default=first)


def _pass(session: Session, held: EvaluationSplit) -> float:
    """Seconds of a pass over a split, from one batch."""
    loading, batch = _loaded(lambda: iter(held.loader))
    adapt = session.balancer.adapt
    started = time.perf_counter()
    evaluate(session.fabric, session.model, adapt, held.tasks, [dict(batch)], session.input, lambda: None)
    _synchronise(session.fabric.device)
    return len(held.loader) * (loading + time.perf_counter() - started)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # Linux counts kibibytes, macOS bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if sys.platform == "linux" and multiprocessing.parent_process() is not None:
        # A fork has all that imports have computed, but of their libraries only what it has used since.
        peak += max(0, _of_files(os.getppid()) - _of_files(os.getpid()))
    return peak


def _of_files(process: int) -> int:
    """Bytes of files, such as libraries, that a process has in its memory now."""
    pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[2]
    return int(pages) * resource.getpagesize()


def _bytes(state: Mapping[str, object] | Iterable[object]) -> int:
    values = state.values() if isinstance(state, Mapping) else state
    return sum(value.numel() * value.element_size() for value in values if isinstance(value, torch.Tensor))
