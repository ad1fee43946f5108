"""One training run."""

from equipoise.config.balancer import BalancerConfig
from equipoise.config.experiment import Experiment, Protocol, Seed


class RunConfig(Experiment):
    """One training run, wholly described."""

    balancer: BalancerConfig
    seed: Seed = 0
    protocol: Protocol = "validation"
    """`validation`: the checkpoint is chosen on held-out training data, and the test split read once. `paper_one`: the
    checkpoint is chosen on the test split."""
