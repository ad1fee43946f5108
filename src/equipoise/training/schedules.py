"""How the learning rate goes down."""

from typing import Any

import torch
from torch.optim.lr_scheduler import ConstantLR, ExponentialLR, LRScheduler, PolynomialLR, ReduceLROnPlateau

from equipoise.config import TrainingConfig


class Schedule:
    """A learning rate over time; the training loop tells it of every step, epoch and evaluation.

    Args:
        schedule: The schedule of PyTorch that it moves.
    """

    def __init__(self, schedule: LRScheduler) -> None:
        self.schedule = schedule

    def state_dict(self) -> dict[str, Any]:
        """What must be kept to go on from here."""
        return self.schedule.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.schedule.load_state_dict(state)

    def after_step(self) -> None:
        """One optimisation step was made."""

    def after_epoch(self) -> None:
        """One pass over the training data was made."""

    def after_evaluation(self, score: float) -> None:
        """The network was measured, with a score of which more is better."""


class EveryStep(Schedule):
    """A schedule that goes by steps."""

    def after_step(self) -> None:
        """Go on by one."""
        self.schedule.step()


class EveryEpoch(Schedule):
    """A schedule that goes by epochs."""

    def after_epoch(self) -> None:
        """Go on by one."""
        self.schedule.step()


class OnPlateau(Schedule):
    """Lowers the learning rate where evaluations have not improved for some time (P2, QM9).

    It watches the score that checkpoints are chosen by. The public code of P2 watches the loss of the last training
    batch, which is one draw of a noisy number.
    """

    def __init__(self, schedule: ReduceLROnPlateau) -> None:
        super().__init__(schedule)
        self.plateau = schedule

    def after_evaluation(self, score: float) -> None:
        """Take the score into account."""
        self.plateau.step(score)


def create(settings: TrainingConfig, optimizer: torch.optim.Optimizer, steps: int) -> Schedule:
    """Build the schedule of a run.

    Args:
        settings: Of the run.
        optimizer: Whose learning rate it sets.
        steps: The number of steps in an epoch.
    """
    every = {"step": EveryStep, "epoch": EveryEpoch}[settings.schedule_every]
    periods = settings.epochs * (steps if settings.schedule_every == "step" else 1)
    builders = {
        "poly": lambda: every(PolynomialLR(optimizer, total_iters=periods, power=settings.schedule_power)),
        "constant": lambda: every(ConstantLR(optimizer, factor=1.0, total_iters=0)),
        "exponential": lambda: EveryEpoch(ExponentialLR(optimizer, gamma=settings.schedule_factor)),
        "plateau": lambda: OnPlateau(
            ReduceLROnPlateau(
                optimizer,
                mode="max",
                threshold=0.0,
                threshold_mode="abs",
                factor=settings.schedule_factor,
                patience=settings.schedule_patience,
                min_lr=settings.schedule_floor,
            )
        ),
    }
    return builders[settings.schedule]()
