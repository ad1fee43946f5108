"""Weights drawn at random."""

from optuna.samplers import BaseSampler, RandomSampler

from equipoise.studies.search.sampling import SamplingStrategy


class Random(SamplingStrategy):
    """Draw the weights log-uniformly: what any cleverer strategy should beat.

    Args:
        tasks: What there are weights for.
        ranges: Bounds by task, see `SamplingStrategy`.
        storage: URL of a database, see `SamplingStrategy`.
    """

    def sampler(self, seed: int | None) -> BaseSampler:
        """Optuna's random sampler."""
        return RandomSampler(seed=seed)
