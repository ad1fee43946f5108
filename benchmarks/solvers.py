"""Time of the solvers on Gram matrices of 2 to 64 tasks, on one thread; beside TorchJD's if it is installed.

    python benchmarks/solvers.py [--dimensions 100] [--tasks 2 4 8] [--seconds 0.3]

Each method is checked by the residual of its own optimality condition (for CAGrad and UPGrad, the largest violation of
the conditions on the direction), so that a fast but wrong answer is seen.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from equipoise import functional

Weigh = Callable[[Tensor], Tensor]

_RUN = 3


@dataclass(frozen=True)
class Contest:
    """A method: our function, the residual of its condition, and the name and options of TorchJD's class."""

    name: str
    ours: Weigh
    residual: Callable[[Tensor, Tensor], float]
    theirs: str | None = None
    options: tuple[float, ...] = ()


def bargain(alpha: float) -> Callable[[Tensor, Tensor], float]:
    return lambda gram, w: ((gram @ w) * w.clamp(min=0) ** (1 / alpha) - 1).abs().max().item()


def least_norm(gram: Tensor, w: Tensor) -> float:
    return ((w @ gram @ w - (gram @ w).min()) / gram.diagonal().max()).item()


def conflict(gram: Tensor, w: Tensor) -> float:
    norms = gram.diagonal().sqrt()
    return max(0.0, -((gram @ w) / (norms * norms.max())).min().item())


def duality_gap(gram: Tensor, w: Tensor, c: float = 0.4) -> float:
    mean = torch.full_like(w, 1 / len(w))
    length = (mean @ gram @ mean).sqrt()
    combination = (w - mean) / (w - mean).sum()
    bound = combination @ gram @ mean + c * length * (combination @ gram @ combination).sqrt()
    return ((bound - (gram @ w).min()) / (length * gram.diagonal().max().sqrt())).item()


def equal_projections(gram: Tensor, w: Tensor) -> float:
    projections = (gram @ w) / gram.diagonal().sqrt()
    return ((projections.max() - projections.min()) / (w @ gram @ w).sqrt()).item()


def least_angle(gram: Tensor, w: Tensor) -> float:
    norms = gram.diagonal().sqrt()
    combination = w * norms / (w * norms).sum()
    return least_norm(gram / norms / norms[:, None], combination)


def nothing(_gram: Tensor, _w: Tensor) -> float:
    return 0.0


def in_turn(gram: Tensor) -> Tensor:
    tasks = len(gram)
    return functional.pcgrad(gram, [[other for other in range(tasks) if other != task] for task in range(tasks)])


CONTESTS = [
    Contest("avgnorm", functional.avgnorm, nothing),
    Contest("mgda", functional.mgda, least_norm, "MGDAWeighting"),
    Contest("nash_mtl", functional.nash_mtl, bargain(1.0), "NashMTL"),
    Contest("fairgrad(1)", lambda gram: functional.fairgrad(gram, 1.0), bargain(1.0), "FairGradWeighting", (1.0,)),
    Contest("fairgrad(2)", lambda gram: functional.fairgrad(gram, 2.0), bargain(2.0), "FairGradWeighting", (2.0,)),
    Contest("cagrad(0.4)", functional.cagrad, duality_gap, "CAGradWeighting", (0.4,)),
    Contest("upgrad", functional.upgrad, conflict, "UPGradWeighting"),
    Contest("edm", functional.edm, least_angle),
    Contest("imtl_g", functional.imtl_g, equal_projections, "IMTLGWeighting"),
    Contest("config", functional.config, equal_projections),
    Contest("aligned_mtl", functional.aligned_mtl, nothing, "AlignedMTLWeighting"),
    Contest("pcgrad", in_turn, nothing, "PCGradWeighting"),
]


def milliseconds(call: Callable[[], object], seconds: float) -> float:
    """Return the shortest of many short runs in processor time, so that other load of the machine hardly counts."""
    call()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.process_time()
        for _ in range(_RUN):
            call()
        best = min(best, (time.process_time() - start) / _RUN)
    return 1e3 * best


def peer(contest: Contest, tasks: int) -> Weigh | None:
    """Return TorchJD's weighting, if it and its dependencies are installed."""
    if contest.theirs is None:
        return None
    try:
        import torchjd.aggregation

        if contest.theirs == "NashMTL":
            return torchjd.aggregation.NashMTL(tasks, max_norm=0.0).weighting
        return getattr(torchjd.aggregation, contest.theirs)(*contest.options)
    except (ImportError, NameError):
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 4, 8, 16, 32, 64])
    parser.add_argument("--dimensions", type=int, default=100, help="length of the random gradients")
    parser.add_argument("--seconds", type=float, default=0.3, help="time for each measurement")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", type=Path, help="a file for the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="torchjd|cvxpy")
    table = Table("method", "tasks", "ms", "residual", "TorchJD ms", "residual", "times faster")
    for contest in CONTESTS:
        for tasks in arguments.tasks:
            generator = torch.Generator().manual_seed(arguments.seed)
            jacobian = torch.randn(tasks, arguments.dimensions, dtype=torch.float64, generator=generator)
            gram = jacobian @ jacobian.T
            ours = milliseconds(lambda: contest.ours(gram), arguments.seconds)  # noqa: B023 called at once
            row = [contest.name, str(tasks), f"{ours:.3f}", f"{contest.residual(gram, contest.ours(gram)):.0e}"]
            theirs = peer(contest, tasks)
            if theirs is not None:
                # NashMTL weighs a Jacobian, all others a Gram matrix.
                inputs = jacobian if contest.theirs == "NashMTL" else gram
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    try:
                        found = contest.residual(gram, theirs(inputs))
                        spent = milliseconds(lambda: theirs(inputs), arguments.seconds)  # noqa: B023 called at once
                        row += [f"{spent:.3f}", f"{found:.0e}", f"{spent / ours:.1f}"]
                    except (ImportError, NameError) as error:  # a solver that TorchJD needs is not installed
                        row += ["-", type(error).__name__, "-"]
            table.add_row(*row)
        table.add_section()
    Console().print(table)
    if arguments.markdown:
        columns = [list(column.cells) for column in table.columns]
        rows = [[str(column.header) for column in table.columns], ["---"] * len(columns), *zip(*columns, strict=True)]
        arguments.markdown.write_text("".join(f"| {' | '.join(map(str, row))} |\n" for row in rows))


if __name__ == "__main__":
    main()
