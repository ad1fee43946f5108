"""Weights drawn where good ones were found."""

from optuna.samplers import BaseSampler, TPESampler

from equipoise.studies.search.sampling import SamplingStrategy


class Tpe(SamplingStrategy):
    """Draw the weights where trials were good, with a tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011).

    The first ten trials are random.

    Args:
        tasks: What there are weights for.
        ranges: Bounds by task, see `SamplingStrategy`.
        storage: URL of a database, see `SamplingStrategy`.
    """

    def sampler(self, seed: int | None) -> BaseSampler:
        """Optuna's TPE with its defaults."""
        return TPESampler(seed=seed)
