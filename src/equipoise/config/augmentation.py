"""What is done to training samples at random."""

from pydantic import Field, model_validator

from equipoise.config.strict import Strict
from equipoise.data import Transform, transforms
from equipoise.naming import choose


class AugmentationConfig(Strict):
    """What is done to training samples at random; evaluation sees them as they are, or as `recipe` says."""

    recipe: str | None = None
    """Published augmentation instead of the keys `rotate`, `flip`, `scale`, `colour` and cutting to `size`: `T` (P1,
    ATRC, InvPT), `R_nyud` or `R_pascal` (MTI-Net on ResNet), see `equipoise.data.transforms`."""
    # Not written down where it is 0, as before there was this key: what a run is known by stays.
    rotate: float = Field(default=0.0, ge=0, le=180, exclude_if=lambda degrees: degrees == 0)
    """Largest angle of a random rotation in degrees, P2's being 10; what comes from outside is ignored."""
    flip: bool = True
    scale: tuple[float, float] | None = None
    """Smallest and largest factor of a random scale, P1's being 0.5 and 2; the result is cut or padded to `size`."""
    size: tuple[int, int] | None = None
    """Height and width of training images."""
    colour: bool = False

    @model_validator(mode="after")
    def _possible(self) -> "AugmentationConfig":
        if self.scale is not None and self.size is None:
            raise ValueError(
                "`scale` needs `size` too, the height and width to cut to: images of a batch have one size"
            )
        if self.recipe is not None and (self.rotate or self.scale is not None or self.colour or not self.flip):
            raise ValueError(
                f"`recipe = {self.recipe!r}` stands for all of it: leave `rotate`, `flip`, `scale` and `colour` out"
            )
        self.transforms()
        return self

    @property
    def _preset(self) -> transforms.Preset | None:
        if self.recipe is None:
            return None
        build = choose("recipe", self.recipe, transforms.RECIPES)
        if self.size is None:
            raise ValueError(f"`recipe = {self.recipe!r}` needs `size` too, the height and width of its images")
        return build(self.size)

    def evaluation_transforms(self) -> tuple[Transform, ...]:
        """What gives evaluated images one size, if anything; nothing of it is random."""
        preset = self._preset
        return () if preset is None else preset.evaluation

    def transforms(self) -> tuple[Transform, ...]:
        """The random transforms, in the order of P1's recipe after a rotation: scale, crop, flip, colour."""
        preset = self._preset
        if preset is not None:
            return preset.training
        found: list[Transform] = []
        if self.rotate:
            found.append(transforms.RandomRotation(self.rotate))
        if self.scale is not None:
            found.append(transforms.RandomScale(*self.scale))
        if self.size is not None:
            found.append(transforms.RandomCrop(self.size))
        if self.flip:
            found.append(transforms.RandomHorizontalFlip())
        if self.colour:
            found.append(transforms.ColourJitter())
        return tuple(found)
