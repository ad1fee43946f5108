"""What a run and a study are, as typed configuration: YAML files plus `key.sub=value` on the command line."""

from equipoise.config.augmentation import AugmentationConfig
from equipoise.config.balancer import BalancerConfig
from equipoise.config.data import DataConfig
from equipoise.config.errors import ConfigError
from equipoise.config.experiment import Protocol, Seed
from equipoise.config.grids import Grid, grid_points
from equipoise.config.loading import dataset, load, options, parse
from equipoise.config.model import ModelConfig
from equipoise.config.published import PublishedConfig
from equipoise.config.recipe import SINGLE, Recipe
from equipoise.config.run import RunConfig
from equipoise.config.strict import converted_options
from equipoise.config.training import ProbeConfig, TrainingConfig
from equipoise.config.variant import VariantConfig

__all__ = [
    "SINGLE",
    "AugmentationConfig",
    "BalancerConfig",
    "ConfigError",
    "DataConfig",
    "Grid",
    "ModelConfig",
    "ProbeConfig",
    "Protocol",
    "PublishedConfig",
    "Recipe",
    "RunConfig",
    "Seed",
    "TrainingConfig",
    "VariantConfig",
    "converted_options",
    "dataset",
    "grid_points",
    "load",
    "options",
    "parse",
]
