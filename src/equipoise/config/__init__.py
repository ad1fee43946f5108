"""Typed configuration of runs and studies, read from YAML files and `key.sub=value` on the command line."""

from equipoise.config.base import ConfigError, Grid, convert_options, grid_points
from equipoise.config.loading import dataset, load, options, parse
from equipoise.config.parts import (
    AugmentationConfig,
    BalancerConfig,
    DataConfig,
    ModelConfig,
    ProbeConfig,
    TrainingConfig,
)
from equipoise.config.recipe import SINGLE, PublishedConfig, Recipe, VariantConfig
from equipoise.config.run import Protocol, RunConfig, Seed

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
    "convert_options",
    "dataset",
    "grid_points",
    "load",
    "options",
    "parse",
]
