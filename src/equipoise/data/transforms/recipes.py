"""The augmentation of published work, ready made."""

from collections.abc import Callable
from dataclasses import dataclass

from equipoise.data.core.sample import Transform
from equipoise.data.transforms.colours import PhotometricDistortion
from equipoise.data.transforms.crop import Pad, RandomWindow
from equipoise.data.transforms.geometry import Between, OneOf, RandomHorizontalFlip, RandomRotation, RandomScale, Resize


@dataclass(frozen=True)
class Preset:
    """What is done to samples, before the image is normalised.

    Attributes:
        training: For training, with chance.
        evaluation: For evaluation, without: what gives the images of a batch one size.
    """

    training: tuple[Transform, ...]
    evaluation: tuple[Transform, ...]


def recipe_t(size: tuple[int, int], classes_of: str = "seg") -> Preset:
    """Paper one's augmentation, which is that of the public ATRC, InvPT and their descendants.

    Scale by 0.5 to 2 (depths divided, normals kept), a window in which no class covers three quarters, flip, colours,
    padding. Evaluation pads without resampling, and padding counts nowhere. Sizes in use: 448x576 for NYUD-v2 (images
    of 425x560), 512x512 for PASCAL-Context and Replica.

    Unlike the public code, padding is kept apart from depths of 0 and 255 by `Task.ignore` alone, and colours
    are not truncated to 8 bits after every step. That code loads the segmentation for the choice of the window even
    if it is no task; here the window of a sample without it is not chosen.

    Args:
        size: Height and width of training samples, and the least height and width of evaluated ones.
        classes_of: The task that the window is judged by.
    """
    return Preset(
        training=(
            RandomScale(0.5, 2.0),
            RandomWindow(size, largest_share=0.75, classes_of=classes_of),
            RandomHorizontalFlip(),
            PhotometricDistortion(),
            # Last, so that the colours of the margin, which become zero, are not distorted.
            Pad(size),
        ),
        evaluation=(Pad(size),),
    )


def recipe_r_nyud(size: tuple[int, int] = (480, 640)) -> Preset:
    """The augmentation of NYUD-v2 in the ResNet recipe of the public Multi-Task-Learning-PyTorch (MTI-Net).

    Flip, enlarge by 1, 1.2 or 1.5 about the middle (depths divided), resample to one size without keeping the aspect.
    Evaluation does the last alone, so scores are those of resampled labels. See `RandomRotation` for what it
    does otherwise than the public code, whose bicubic resampling moreover overshoots and wraps around at 256.

    Args:
        size: Height and width of all samples.
    """
    return _recipe_r(size, RandomRotation(0.0, OneOf((1.0, 1.2, 1.5))))


def recipe_r_pascal(size: tuple[int, int] = (512, 512)) -> Preset:
    """As `recipe_r_nyud` for PASCAL-Context: turns by up to 20 degrees and a zoom of 0.75 to 1.25.

    Args:
        size: Height and width of all samples.
    """
    return _recipe_r(size, RandomRotation(20.0, Between(0.75, 1.25)))


def _recipe_r(size: tuple[int, int], rotation: RandomRotation) -> Preset:
    return Preset(training=(RandomHorizontalFlip(), rotation, Resize(size)), evaluation=(Resize(size),))


RECIPES: dict[str, Callable[[tuple[int, int]], Preset]] = {
    "T": recipe_t,
    "R_nyud": recipe_r_nyud,
    "R_pascal": recipe_r_pascal,
}
"""The presets by the names they have in configurations."""
