"""One training step."""

from collections.abc import Iterator

import torch

from equipoise.balancing import Balance
from equipoise.training.context import forward, step_context, teacher_features
from equipoise.training.loading import Batch
from equipoise.training.session import Session


def training_step(session: Session, batch: Batch, further: Iterator[Batch]) -> Balance | None:
    """Make one training step on a batch: forward pass, balanced gradients, clipping, optimiser, schedule.

    The optimiser does not step if the balancer skipped the batch because a loss or gradient is not finite.

    Args:
        session: The session of the run.
        batch: A training batch; it is moved to the device.
        further: Further training batches, for methods that need more than one a step.

    Returns:
        The outcome of the balancer; none if the batch has no labels at all.
    """
    batch = session.fabric.to_device(batch)
    session.optimizer.zero_grad(set_to_none=True)
    losses_and_features = forward(session, batch)
    losses, features = losses_and_features.losses, losses_and_features.features
    balance = None
    if losses:
        context = step_context(session, batch, further)
        balance = session.balancer.backward(
            losses, features=features, last_layer=session.last_layer, context=context, probe=session.probe
        )
        if session.feature_distance is not None:
            session.feature_distance.observe(features, lambda: teacher_features(session, batch))
        if not balance.skipped:
            if session.clip > 0:
                torch.nn.utils.clip_grad_norm_(session.model.parameters(), session.clip)
            session.optimizer.step()
            session.balancer.after_step(context)
    session.schedule.after_step()
    return balance
