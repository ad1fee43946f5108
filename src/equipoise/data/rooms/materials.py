"""Materials, and the palette of one room, whose colours match."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from equipoise.data.rooms import textures
from equipoise.data.rooms.textures import Array, Samples

Colour = tuple[float, float, float]
Texture = Callable[[Samples], Array]


@dataclass(frozen=True)
class Material:
    """The look of a surface.

    Attributes:
        texture: Function from surface points to colours.
        first: First colour of the texture, linear light in [0, 1].
        second: Second colour of the texture.
        period: Size of the texture's element in metres.
        gloss: Strength of highlights, 0 is matt.
        glow: Light that the surface sends out itself, as a multiple of its colour.
    """

    texture: Texture
    first: Colour
    second: Colour
    period: float = 0.1
    gloss: float = 0.0
    glow: float = 0.0


def linear(red: float, green: float, blue: float) -> Colour:
    """Return the linear-light colour of display values in 0..255."""
    return ((red / 255) ** 2.2, (green / 255) ** 2.2, (blue / 255) ** 2.2)


def scaled(colour: Colour, factor: float) -> Colour:
    """Return the colour times a factor, at most 0.95 per channel."""
    red, green, blue = (min(0.95, channel * factor) for channel in colour)
    return (red, green, blue)


# Families of colours (display values). All families serve several classes, so that a colour does not give a class away.
_WOODS = ((186, 140, 93), (128, 84, 51), (92, 59, 38), (214, 178, 134), (160, 105, 62), (225, 205, 175))
_PAINTS = (
    (236, 232, 222),
    (214, 204, 186),
    (190, 205, 210),
    (205, 215, 190),
    (228, 208, 196),
    (170, 178, 190),
    (232, 214, 160),
)
_ACCENTS = (
    (170, 58, 48),
    (46, 84, 138),
    (58, 118, 78),
    (212, 158, 52),
    (110, 70, 130),
    (60, 62, 68),
    (206, 118, 84),
    (86, 150, 160),
    (232, 226, 214),
    (150, 130, 108),
    (196, 96, 128),
    (120, 132, 70),
)


class Palette:
    """The few woods, paints and accents of one room. Materials drawn from it match each other.

    Args:
        generator: The room's random numbers.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator
        self._woods = self._choose(_WOODS, 2)
        self._paints = self._choose(_PAINTS, 3)
        self._accents = self._choose(_ACCENTS, 5)

    def _choose(self, family: tuple[tuple[int, int, int], ...], count: int) -> list[Colour]:
        chosen = self.generator.choice(len(family), count, replace=False)
        shift = self.generator.normal(0.0, 8.0, (count, 3))
        return [linear(*np.clip(np.add(family[i], s), 8, 250).tolist()) for i, s in zip(chosen, shift, strict=True)]

    def _pick(self, colours: list[Colour]) -> Colour:
        return scaled(colours[self.generator.integers(len(colours))], float(self.generator.uniform(0.8, 1.15)))

    def _texture(self, *choices: Texture) -> Texture:
        return choices[int(self.generator.integers(len(choices)))]

    def wood(self) -> Material:
        """A wooden surface in one of the room's two woods."""
        colour = self._pick(self._woods)
        return Material(
            textures.wood, colour, scaled(colour, 0.5), float(self.generator.uniform(0.03, 0.07)), gloss=0.12
        )

    def painted(self) -> Material:
        """A lacquered surface, pale or coloured."""
        colour = self._pick(self._paints if self.generator.random() < 0.6 else self._accents)
        return Material(textures.plaster, colour, scaled(colour, 0.85), 0.15, gloss=0.15)

    def furniture(self) -> Material:
        """The wood or lacquer of cupboards, tables and doors."""
        return self.wood() if self.generator.random() < 0.6 else self.painted()

    def cloth(self) -> Material:
        """Fabric: woven, striped, checked or dotted."""
        colour = self._pick(self._accents if self.generator.random() < 0.75 else self._paints)
        if self.generator.random() < 0.6:
            return Material(textures.fabric, colour, scaled(colour, 0.6), 0.02)
        texture = self._texture(textures.stripes, textures.checks, textures.dots)
        return Material(texture, colour, self._pick(self._paints), float(self.generator.uniform(0.06, 0.16)))

    def accent(self) -> Material:
        """A strong colour with one of all textures, for small things."""
        texture = self._texture(textures.plaster, textures.stripes, textures.checks, textures.dots, textures.plaster)
        second = self._pick(self._accents + self._paints)
        return Material(
            texture, self._pick(self._accents), second, float(self.generator.uniform(0.05, 0.12)), gloss=0.2
        )

    def cardboard(self) -> Material:
        """Brown card, now and then printed."""
        if self.generator.random() < 0.35:
            return self.accent()
        colour = scaled(linear(178, 138, 94), float(self.generator.uniform(0.7, 1.2)))
        return Material(textures.plaster, colour, scaled(colour, 0.75), 0.2)

    def metal(self) -> Material:
        """Bright or dark metal."""
        colour = linear(170, 172, 176) if self.generator.random() < 0.5 else linear(58, 56, 54)
        return Material(textures.plaster, colour, scaled(colour, 0.8), 0.1, gloss=0.6)

    def wall(self) -> Material:
        """Plaster, or wallpaper with wide stripes or dots of nearly the same colour."""
        colour = self._pick(self._paints)
        if self.generator.random() < 0.6:
            return Material(textures.plaster, colour, scaled(colour, 0.88), 0.5)
        texture = self._texture(textures.stripes, textures.dots)
        return Material(texture, colour, scaled(colour, 0.78), float(self.generator.uniform(0.12, 0.3)))

    def floor(self) -> Material:
        """Boards, tiles, chequered tiles or carpet."""
        kind = self.generator.random()
        if kind < 0.5:
            colour = self._pick(self._woods)
            return Material(
                textures.planks, colour, scaled(colour, 0.6), float(self.generator.uniform(0.1, 0.18)), gloss=0.15
            )
        colour = self._pick(self._paints + self._accents)
        if kind < 0.7:
            return Material(
                textures.tiles, colour, scaled(colour, 0.5), float(self.generator.uniform(0.25, 0.5)), gloss=0.3
            )
        if kind < 0.8:
            return Material(
                textures.checks, colour, self._pick(self._paints), float(self.generator.uniform(0.25, 0.45)), gloss=0.3
            )
        return Material(textures.fabric, colour, scaled(colour, 0.75), 0.05)

    def ceiling(self) -> Material:
        """Nearly white plaster."""
        colour = scaled(linear(235, 232, 226), float(self.generator.uniform(0.85, 1.05)))
        return Material(textures.plaster, colour, scaled(colour, 0.95), 0.6)

    def leaf(self) -> Material:
        """A green, yellowish or reddish leaf."""
        colour = linear(*np.clip(self.generator.normal((74, 118, 56), (22, 18, 14)), 20, 200).tolist())
        return Material(textures.plaster, colour, scaled(colour, 0.6), 0.06, gloss=0.1)

    def painting(self, size: float) -> Material:
        """A picture whose motif has about this size in metres."""
        return Material(textures.painting, self._pick(self._accents), self._pick(self._accents + self._paints), size)

    def window_view(self) -> Material:
        """The bright view through a window."""
        land = linear(*np.clip(self.generator.normal((110, 128, 84), 18.0), 20, 220).tolist())
        return Material(textures.window_view, linear(168, 196, 232), land, 1.0, glow=2.2)

    def screen(self) -> Material:
        """A dark, glossy screen."""
        return Material(textures.plaster, linear(22, 23, 26), linear(34, 36, 42), 0.4, gloss=0.8)

    def shade(self, lit: bool) -> Material:
        """A lamp shade; it glows in a warm colour when the lamp is lit."""
        colour = linear(*np.clip(self.generator.normal((250, 226, 178), (4, 12, 24)), 60, 255).tolist())
        glow = float(self.generator.uniform(0.8, 1.8)) if lit else 0.0
        return Material(textures.fabric, colour, scaled(colour, 0.85), 0.03, glow=glow)
