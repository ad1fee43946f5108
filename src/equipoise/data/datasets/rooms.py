"""The embedded dataset: indoor scenes that are generated, not downloaded."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from equipoise._core.registry import register
from equipoise.data.core.dataset import NO_OPTIONS, Dataset
from equipoise.data.core.fingerprint import digest
from equipoise.data.core.sample import DatasetError, Transform
from equipoise.data.rooms import (
    CLASS_COLOURS,
    GENERATOR_VERSION,
    PART_CLASSES,
    PART_COLOURS,
    SEMANTIC_CLASSES,
    arguments,
    cached,
)
from equipoise.data.storage.files import read_array, read_colours, read_plane, read_text
from equipoise.tasks import Task
from equipoise.tasks.depth import Depth
from equipoise.tasks.edges import Edges
from equipoise.tasks.saliency import Saliency
from equipoise.tasks.semantic_segmentation import Parts, SemanticSegmentation
from equipoise.tasks.surface_normals import SurfaceNormals


@register("rooms")
class Rooms(Dataset):
    """Procedurally generated rooms with exact labels, see `equipoise.data.rooms`.

    Tasks: `seg`, `depth`, `normals`, `edge` (borders of objects), `saliency` (the objects in focus) and `parts` (of
    furniture). The splits divide the scenes, so no room is in two of them.

    Args:
        root: A directory written by `equipoise.data.rooms.generate`. Without it the dataset is generated into the cache
            directory on first use.
        split: `"train"`, `"val"` or `"test"`.
        tasks: See `Dataset`.
        transform: See `Dataset`.
        scenes: The number of rooms; the generator's default if left out, like the following three.
        scans: The number of images of each room.
        size: The side of the images in pixels.
        seed: The seed of the generator.

    Raises:
        ValueError: An option is out of its range, or `root` holds rooms that were generated with other options.
        DatasetError: The directory is missing or was written by another version of the generator.
    """

    source = "`equipoise.data.rooms.generate`, or leave `root` out"
    contents = ("manifest.json",)

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        split: str = "train",
        tasks: Iterable[str] | None = None,
        transform: Transform | None = None,
        scenes: int | None = None,
        scans: int | None = None,
        size: int | None = None,
        seed: int | None = None,
    ) -> None:
        self.options = _given({"scenes": scenes, "scans": scans, "size": size, "seed": seed})
        if root is None:
            root = cached(**self.options)
        super().__init__(root, split=split, tasks=tasks, transform=transform)

    @classmethod
    def prepare(
        cls, root: str | Path | None, options: Mapping[str, Any], progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Generate the rooms into the cache directory if no directory is given."""
        if root is None:
            cached(**_given(options), progress=progress)

    @classmethod
    def all_tasks(cls, root: str | Path | None = None, options: Mapping[str, Any] = NO_OPTIONS) -> tuple[Task, ...]:
        """Return segmentation, depth, normals, edges, saliency and parts."""
        return (
            SemanticSegmentation(name="seg", classes=SEMANTIC_CLASSES, colours=tuple(CLASS_COLOURS.values())),
            Depth(name="depth", farthest=8.0),
            SurfaceNormals(name="normals"),
            # Twice the field's share of the diagonal: 1.8 pixels at 64x64, where 0.011 would not forgive a neighbour.
            Edges(name="edge", max_distance=0.02),
            Saliency(name="saliency"),
            Parts(name="parts", classes=PART_CLASSES, colours=tuple(PART_COLOURS.values())),
        )

    @classmethod
    def fingerprint(cls, root: str | Path | None = None, options: Mapping[str, Any] = NO_OPTIONS) -> str:
        """Return the fingerprint: without a directory, that of the generator's version and arguments.

        Args:
            root: The directory, if it is not in the cache.
            options: Options of the dataset.

        Raises:
            DatasetError: There is no such directory.
        """
        if root is not None:
            # Its manifest holds the options.
            return super().fingerprint(root)
        generator = {"generator_version": GENERATOR_VERSION, "arguments": arguments(**_given(options))}
        return digest(cls.name, generator, {})

    def identify(self) -> list[str]:
        """Return `<scene>/<scan>` for every scan of the split's scenes."""
        manifest = self._manifest()
        for option, value in self.options.items():
            if manifest["arguments"][option] != value:
                raise ValueError(
                    f"`{option}` should be {manifest['arguments'][option]}, which `root = {self.root}` was generated "
                    f"with. Found `{option} = {value}`; leave one of the two out."
                )
        scenes = manifest["splits"][self.split]
        return [f"{scene}/{scan:03d}" for scene in sorted(scenes) for scan in range(scenes[scene])]

    def scene(self, identifier: str) -> str:
        """Return the room."""
        return identifier.split("/")[0]

    def _manifest(self) -> dict[str, Any]:
        path = self.root / "manifest.json"
        try:
            manifest = json.loads(read_text(path))
            classes, parts = tuple(manifest["classes"]), tuple(manifest["parts"])
            missing = {"arguments", "splits"} - set(manifest)
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(path, f"is no manifest of rooms ({error!r})") from error
        if missing:
            raise DatasetError(path, f"is no manifest of rooms (it lacks {', '.join(sorted(missing))})")
        if (classes, parts) != (SEMANTIC_CLASSES, PART_CLASSES):
            raise DatasetError(
                path, "lists other classes or parts than this version generates; generate the rooms anew"
            )
        return manifest

    def file(self, identifier: str, key: str) -> Path:
        """Return the file of an image or target."""
        ending, _ = LAYOUT[key]
        return self.root / f"{identifier}_{ending}"

    def read(self, identifier: str, key: str) -> Tensor:
        """Return the image or a target. Normals are float16, so their length is off by less than a thousandth."""
        _, reader = LAYOUT[key]
        return reader(self.file(identifier, key))


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in options.items() if value is not None}


def read_depth(path: Path) -> Tensor:
    """Return the depth in metres, `[1, H, W]`."""
    return read_array(path, channels=1)


def read_normals(path: Path) -> Tensor:
    """Return the unit vectors, `[3, H, W]`."""
    return read_array(path, channels=3)


def read_mask(path: Path) -> Tensor:
    """Return an image of 0 and 255 as uint8 `[1, H, W]` of 0 and 1."""
    plane = read_plane(path)
    if not ((plane == 0) | (plane == 255)).all():
        raise DatasetError(path, "should hold 0 and 255 alone; it holds other values")
    return (plane // 255)[None]


LAYOUT = {
    "image": ("image.png", read_colours),
    "seg": ("segmentation.png", read_plane),
    "depth": ("depth.npy", read_depth),
    "normals": ("normals.npy", read_normals),
    "edge": ("edge.png", read_mask),
    "saliency": ("saliency.png", read_mask),
    "parts": ("parts.png", read_plane),
}
"""The end of the file name of each part of a sample, and its reader."""
