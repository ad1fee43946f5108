"""Share of a training epoch in which the loop waits for data, by the number of worker processes.

    python benchmarks/loading.py recipes/quickstart.yaml --workers 0 2
    python benchmarks/loading.py recipes/nyud_mini.yaml data.root=/path/to/nyud_mini --workers 0 2

Workers start and files are decoded in the first epoch, which is shown separately. With 0 workers the loop loads its
batches itself, so that all loading counts as waiting. Everything else is as in `equipoise train`: the recipe's network,
batch size, augmentation and first balancing method.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from equipoise import config, studies
from equipoise.training.context import further_batches
from equipoise.training.session import Session, prepare
from equipoise.training.step import training_step


@dataclass
class Epoch:
    """Seconds of one epoch.

    Attributes:
        total: The whole epoch.
        waiting: The time in which the loop waited for batches.
        batches: The number of batches.
    """

    total: float
    waiting: float
    batches: int

    @property
    def share(self) -> float:
        """The share of the epoch that was waiting."""
        return self.waiting / self.total


def run_epoch(session: Session, batches: Iterator[dict[str, Any]]) -> Epoch:
    """Train on as many batches as an epoch has, and return its times."""
    started = asked = time.perf_counter()
    waiting, further = 0.0, further_batches(session, 0)
    for batch in islice(batches, len(session.train_loader)):
        waiting += time.perf_counter() - asked
        training_step(session, batch, further)
        if session.fabric.device.type == "cuda":
            # Otherwise the device would still be busy while the loop already waits for the next batch.
            torch.cuda.synchronize()
        asked = time.perf_counter()
    return Epoch(asked - started, waiting, len(session.train_loader))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("overrides", nargs="*", help="changes to the recipe: KEY=VALUE")
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 2], help="numbers of worker processes")
    parser.add_argument("--epochs", type=int, default=2, help="epochs after the first")
    arguments = parser.parse_args()

    table = Table(title=f"{arguments.recipe.stem}: time that the training loop waits for data")
    for heading in ("workers", "opening (s)", "first epoch (s)", "waiting", "later epochs (s)", "waiting", "batches/s"):
        table.add_column(heading, justify="right")
    for workers in arguments.workers:
        overrides = [*arguments.overrides, f"training.workers={workers}"]
        study = config.load(arguments.recipe, config.Recipe, overrides)
        run = next(run for run in studies.plan(study) if run.needs)
        started = time.perf_counter()
        session = prepare(run.config)
        opening = time.perf_counter() - started
        epochs = range(1 + arguments.epochs)
        batches = session.train_loader.stream(epochs)
        first, *later = (run_epoch(session, batches) for _ in epochs)
        epoch = Epoch(*(sum(values) for values in zip(*(vars(one).values() for one in later), strict=True)))
        table.add_row(
            str(workers),
            f"{opening:.1f}",
            f"{first.total:.1f}",
            f"{first.share:.1%}",
            f"{epoch.total / len(later):.1f}",
            f"{epoch.share:.1%}",
            f"{epoch.batches / epoch.total:.1f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
