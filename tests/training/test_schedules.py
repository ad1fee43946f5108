"""The learning rate over a whole training."""

import pytest
import torch

from equipoise.config import TrainingConfig
from equipoise.training import schedules

EPOCHS, STEPS, RATE = 4, 5, 0.1


def rates(**settings) -> list[float]:
    """The rate of every step."""
    parameter = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], RATE)
    config = TrainingConfig.model_validate({"epochs": EPOCHS, "learning_rate": RATE, **settings})
    schedule = schedules.create(config, optimizer, STEPS)
    found = []
    for _ in range(EPOCHS):
        for _ in range(STEPS):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.after_step()
        schedule.after_epoch()
        schedule.after_evaluation(1.0)
    return [*found, optimizer.param_groups[0]["lr"]]


@pytest.mark.parametrize("power", [0.9, 2.0])
def test_a_polynomial_schedule_ends_with_the_training(power):
    by_step = rates(schedule="poly", schedule_power=power)
    expected = [RATE * (1 - step / (EPOCHS * STEPS)) ** power for step in range(EPOCHS * STEPS + 1)]
    assert by_step == pytest.approx(expected, abs=1e-12)
    by_epoch = rates(schedule="poly", schedule_power=power, schedule_every="epoch")
    expected = [RATE * (1 - (step // STEPS) / EPOCHS) ** power for step in range(EPOCHS * STEPS + 1)]
    assert by_epoch == pytest.approx(expected, abs=1e-12)


def test_a_constant_rate_stays():
    assert set(rates(schedule="constant")) == {RATE}


def test_a_rate_waits_for_a_plateau():
    settings = {"schedule": "plateau", "schedule_factor": 0.5, "schedule_patience": 1, "schedule_floor": 0.0}
    # The first evaluation is the best, the second one is waited for, the third is too many.
    assert rates(**settings)[::STEPS] == pytest.approx([RATE, RATE, RATE, RATE / 2, RATE / 2])
