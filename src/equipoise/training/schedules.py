"""Learning rate schedules, moved by steps, epochs or evaluations."""

from typing import Any

import torch
from torch.optim.lr_scheduler import ConstantLR, ExponentialLR, LRScheduler, PolynomialLR, ReduceLROnPlateau

from equipoise.config import TrainingConfig


class Schedule:
    """A learning rate over time. The training loop reports every step, epoch and evaluation to it.

    Args:
        schedule: The PyTorch schedule that sets the learning rate.
    """

    def __init__(self, schedule: LRScheduler) -> None:
        self.schedule = schedule

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        return self.schedule.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state from `state_dict`."""
        self.schedule.load_state_dict(state)

    def after_step(self) -> None:
        """Note that a training step was made."""

    def after_epoch(self) -> None:
        """Note that an epoch has ended."""

    def after_evaluation(self, score: float) -> None:
        """Note that the network was evaluated; a higher score is better."""


class StepSchedule(Schedule):
    """A schedule that moves with every training step."""

    def after_step(self) -> None:
        """Move on by one step."""
        self.schedule.step()


class EpochSchedule(Schedule):
    """A schedule that moves with every epoch."""

    def after_epoch(self) -> None:
        """Move on by one epoch."""
        self.schedule.step()


class PlateauSchedule(Schedule):
    """Lowers the learning rate when evaluations stop improving (QM9 in Gama & Grassi (2025)).

    It follows the score that the best checkpoint is chosen by. The public code of Gama & Grassi (2025) follows the loss
    of the last training batch, which is a single draw of a noisy number.

    Args:
        schedule: The PyTorch schedule, with `mode="max"`.
    """

    def __init__(self, schedule: ReduceLROnPlateau) -> None:
        super().__init__(schedule)
        self.plateau = schedule

    def after_evaluation(self, score: float) -> None:
        """Lower the learning rate if the score has not improved for `patience` evaluations."""
        self.plateau.step(score)


def create(settings: TrainingConfig, optimizer: torch.optim.Optimizer, steps: int) -> Schedule:
    """Return the schedule of a run.

    Args:
        settings: The training settings of the run.
        optimizer: The optimiser whose learning rate the schedule sets.
        steps: The number of training steps in an epoch.
    """
    by = {"step": StepSchedule, "epoch": EpochSchedule}[settings.schedule_every]
    periods = settings.epochs * (steps if settings.schedule_every == "step" else 1)
    builders = {
        "poly": lambda: by(PolynomialLR(optimizer, total_iters=periods, power=settings.schedule_power)),
        "constant": lambda: by(ConstantLR(optimizer, factor=1.0, total_iters=0)),
        "exponential": lambda: EpochSchedule(ExponentialLR(optimizer, gamma=settings.schedule_factor)),
        "plateau": lambda: PlateauSchedule(
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
