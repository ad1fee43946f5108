"""Runs on a Ray cluster."""

import logging
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from equipoise._core.errors import import_extra, require
from equipoise._core.registry import register
from equipoise.studies.plan.planned_run import PlannedRun
from equipoise.studies.run.executors import Executor, Workers
from equipoise.studies.run.remote import Job, LostError, Remote, Work, may_use_gpu

_STORE = 100 * 2**20
"""Bytes of Ray's memory for objects, which runs do not use."""


@register("ray")
class Ray(Executor):
    """Make every run as a task of a Ray cluster, in a process of its own.

    If the process or its machine dies, the run begins anew from its last checkpoint. If this process has initialised
    Ray already, that cluster is used. Ray stays initialised until the process ends or `ray.shutdown()` is called.

    Args:
        address: Address of the cluster, as for `ray.init`; by default `$RAY_ADDRESS`, else a new cluster of this
            machine alone.
        cpus: Cores, and threads of PyTorch, for each run; by default all cores divided by the number of jobs.
        gpus: GPUs for each run, also fractions of one; by default one if the cluster has any and the run's
            `training.accelerator` can be a GPU.
        retries: Number of times that a run begins anew after its process or machine has died.

    Raises:
        MissingExtraError: Ray is not installed.
        ValueError: A number is too small.
    """

    def __init__(
        self,
        *,
        address: str | None = None,
        cpus: int | None = None,
        gpus: float | None = None,
        retries: int = 3,
    ) -> None:
        for name, value, least in (("cpus", cpus, 1), ("gpus", gpus, 0), ("retries", retries, 0)):
            require(value is None or value >= least, name, value, f"be at least {least}")
        self._address = address or os.environ.get("RAY_ADDRESS")
        self._cpus, self._gpus, self._retries = cpus, gpus, retries
        # Ray sends usage statistics only if the user asks for it.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._ray = import_extra("ray", extra="ray", purpose="The executor `ray`")

    def open(self, root: Path, jobs: int) -> Workers:
        """Connect to the cluster, or start one.

        Raises:
            ConnectionError: There is no cluster at the address.
        """
        ray = self._ray
        if not ray.is_initialized():
            quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
            if self._address is not None:
                ray.init(address=self._address, **quiet)
            else:
                cores = max(torch.get_num_threads(), jobs * (self._cpus or 1))
                # Without an address, Ray would take a cluster that happens to run here already.
                ray.init(address="local", num_cpus=cores, include_dashboard=False, object_store_memory=_STORE, **quiet)
        there = ray.cluster_resources()
        largest = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
        cpus = self._cpus or max(1, int(min(there.get("CPU", 0) // jobs, largest)))
        has_gpus = there.get("GPU", 0) > 0

        def submit(run: PlannedRun, work: Work) -> Job:
            gpus = self._gpus if self._gpus is not None else float(has_gpus and may_use_gpu(run))
            # One process a run, so that nothing of it, such as memory of a GPU, is left for the next.
            resources = {"num_cpus": cpus, "num_gpus": gpus, "max_calls": 1, "max_retries": self._retries}
            return _Task(ray, ray.remote(**resources)(_call).options(name=run.name).remote(work))

        return Remote(root, cpus, submit)


class _Task(Job):
    def __init__(self, ray: ModuleType, reference: Any) -> None:
        self._ray, self._reference = ray, reference

    def ended(self) -> bool:
        return bool(self._ray.wait([self._reference], timeout=0)[0])

    def outcome(self) -> str | None:
        try:
            return self._ray.get(self._reference)
        except self._ray.exceptions.RayTaskError as error:
            raise LostError(f"{type(error.cause).__name__}: {error.cause}") from error
        except self._ray.exceptions.RayError as error:
            why = str(error).partition("\n")[0]
            raise LostError(f"its worker was lost: {type(error).__name__}: {why}") from error

    def cancel(self) -> None:
        self._ray.cancel(self._reference, force=True)


def _call(work: Work) -> str | None:
    return work()
