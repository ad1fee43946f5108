"""The augmentation of published work."""

from collections.abc import Callable
from dataclasses import dataclass

from equipoise.data.core.sample import Transform
from equipoise.data.transforms.colours import PhotometricDistortion
from equipoise.data.transforms.crop import Pad, RandomWindow
from equipoise.data.transforms.geometry import Between, OneOf, RandomHorizontalFlip, RandomRotation, RandomScale, Resize


@dataclass(frozen=True)
class Preset:
    """The transforms of a recipe, applied before the image is normalised.

    Attributes:
        training: Random transforms for training.
        evaluation: Fixed transforms for evaluation, which give the images of a batch one size.
    """

    training: tuple[Transform, ...]
    evaluation: tuple[Transform, ...]


def recipe_t(size: tuple[int, int], classes_of: str = "seg") -> Preset:
    """Return the augmentation of Guo et al. (2025), which is that of the public ATRC, InvPT and their descendants.

    Training: a scale of 0.5 to 2 (depths divided, normals kept), a window in which no class covers three quarters, a
    flip, colours, padding. Evaluation pads without resampling, and padding does not count. Common sizes: 448x576 for
    NYUD-v2 (images of 425x560), 512x512 for PASCAL-Context and Replica.

    Differences from the public code: `Task.ignore` alone marks padding, not depths of 0 and 255. Colours are not
    truncated to 8 bits after every step. The public code loads the segmentation to choose the window even if it is no
    task; here a sample without it gets the first window.

    Args:
        size: Height and width of training samples, and the smallest height and width of evaluated ones.
        classes_of: The name of the task whose classes choose the window.
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
    """Return the augmentation of NYUD-v2 in the ResNet recipe of the public Multi-Task-Learning-PyTorch (MTI-Net).

    Training: a flip, a zoom of 1, 1.2 or 1.5 about the middle (depths divided), and resampling to one size without
    keeping the aspect ratio. Evaluation only resamples, so scores are those of resampled labels. `RandomRotation` lists
    the differences from the public code. Besides, bicubic resampling there overshoots and wraps around at 256.

    Args:
        size: Height and width of all samples.
    """
    return _recipe_r(size, RandomRotation(0.0, OneOf((1.0, 1.2, 1.5))))


def recipe_r_pascal(size: tuple[int, int] = (512, 512)) -> Preset:
    """Return the like of `recipe_r_nyud` for PASCAL-Context: a rotation by up to 20 degrees, a zoom of 0.75 to 1.25.

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
"""The presets by their names in recipes."""
