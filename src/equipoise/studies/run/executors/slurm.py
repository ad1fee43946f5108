"""Runs on a Slurm cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from equipoise._core.errors import import_extra, require
from equipoise._core.registry import register
from equipoise.studies.plan.planned_run import PlannedRun
from equipoise.studies.run.executors import Executor, Workers
from equipoise.studies.run.remote import Job, LostError, Remote, Work, may_use_gpu

_EXTRA, _PURPOSE = "slurm", "The executor `slurm`"

_LIMITS = 20
"""Number of times that a run may reach the time limit of its job."""


@register("slurm")
class Slurm(Executor):
    """Make every run as a job of Slurm. This process submits the jobs with submitit, and stays to watch them.

    A job that reaches its time limit, or that is preempted, is queued again and goes on from the run's last checkpoint.
    The output of jobs is in the folder `slurm` of the directory of studies.

    Args:
        partition: Partition of the cluster; its default if left out.
        minutes: Time limit of a job; it must suffice for one epoch at least.
        cpus: Cores, and threads of PyTorch, for each run.
        gpus: GPUs for each run; by default one if the run's `training.accelerator` can be a GPU.
        memory: Gigabytes for each run; the cluster's default if left out.
        setup: Shell commands at the beginning of a job, such as `module load cuda`.
        sbatch: Further options of `sbatch` by their long names, such as `{"account": "lab"}`.
        cluster: `slurm`; or `local`, with which submitit starts the jobs as processes on this machine, for trials.

    Raises:
        MissingExtraError: Submitit is not installed.
        ValueError: A number is too small.
    """

    def __init__(
        self,
        *,
        partition: str | None = None,
        minutes: int = 240,
        cpus: int = 4,
        gpus: int | None = None,
        memory: float | None = None,
        setup: tuple[str, ...] = (),
        sbatch: Mapping[str, Any] | None = None,
        cluster: Literal["slurm", "local"] = "slurm",
    ) -> None:
        for name, value, least in (("minutes", minutes, 1), ("cpus", cpus, 1), ("gpus", gpus, 0)):
            require(value is None or value >= least, name, value, f"be at least {least}")
        require(memory is None or memory > 0, "memory", memory, "be positive")
        self._cpus, self._gpus, self._cluster = cpus, gpus, cluster
        self._parameters = {
            "timeout_min": minutes,
            "cpus_per_task": cpus,
            "mem_gb": memory,
            "slurm_partition": partition,
            "slurm_setup": list(setup) or None,
            "slurm_additional_parameters": dict(sbatch) if sbatch else None,
        }
        self._submitit = import_extra("submitit", extra=_EXTRA, purpose=_PURPOSE)

    def open(self, root: Path, jobs: int) -> Workers:
        """Find the cluster.

        Raises:
            ValueError: There is no Slurm on this machine.
        """
        try:
            executor = self._submitit.AutoExecutor(
                root.absolute() / "slurm", cluster=self._cluster, slurm_max_num_timeout=_LIMITS
            )
        except RuntimeError as error:
            raise ValueError(
                f"The executor `slurm` should be used where Slurm's commands are, such as on a login node. {error}"
            ) from error

        def submit(run: PlannedRun, work: Work) -> Job:
            gpus = self._gpus if self._gpus is not None else int(may_use_gpu(run))
            executor.update_parameters(**self._parameters, name=run.key, gpus_per_node=gpus or None)
            return _SlurmJob(executor.submit(_Restartable(work)))

        return Remote(root, self._cpus, submit)


class _SlurmJob(Job):
    def __init__(self, job: Any) -> None:
        self._job = job

    def ended(self) -> bool:
        return self._job.done()

    def outcome(self) -> str | None:
        if (error := self._job.exception()) is not None:
            job = self._job
            raise LostError(f"job {job.job_id} is {job.state} and has no result: see {job.paths.stderr}") from error
        return self._job.result()

    def cancel(self) -> None:
        self._job.cancel(check=False)


@dataclass(frozen=True)
class _Restartable:
    """The function that submitit calls. It can be queued again as it is, because a run finds its checkpoint itself."""

    work: Work

    def __call__(self) -> str | None:
        return self.work()

    def checkpoint(self) -> Any:
        helpers = import_extra("submitit.helpers", extra=_EXTRA, purpose=_PURPOSE)
        return helpers.DelayedSubmission(self)
