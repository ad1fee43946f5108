"""Transforms that act on an image and its targets together.

A transform is called with a sample and its tasks by name. The tasks decide what happens to their targets; no transform
knows a task by name. Tensors of the sample are replaced, never changed in place. Random numbers come from PyTorch's
global CPU generator, which a data loader seeds in every worker, so the same seed gives the same augmentation.
"""

from equipoise.data.core.sample import IMAGENET_MEAN, IMAGENET_STD
from equipoise.data.transforms.colours import ColourJitter, Normalize, PhotometricDistortion
from equipoise.data.transforms.compose import Compose
from equipoise.data.transforms.crop import Pad, RandomCrop, RandomWindow
from equipoise.data.transforms.geometry import Between, OneOf, RandomHorizontalFlip, RandomRotation, RandomScale, Resize
from equipoise.data.transforms.recipes import RECIPES, Preset, recipe_r_nyud, recipe_r_pascal, recipe_t

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "RECIPES",
    "Between",
    "ColourJitter",
    "Compose",
    "Normalize",
    "OneOf",
    "Pad",
    "PhotometricDistortion",
    "Preset",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomRotation",
    "RandomScale",
    "RandomWindow",
    "Resize",
    "recipe_r_nyud",
    "recipe_r_pascal",
    "recipe_t",
]
