"""Replica and similar datasets: scanned scenes rendered by Omnidata."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from equipoise._core.registry import register
from equipoise.data.core.dataset import NO_OPTIONS, Dataset
from equipoise.data.core.sample import DatasetError, EmptySplitError, Transform
from equipoise.data.datasets.replica.omnidata import (
    REPLICA_CLASSES,
    REPLICA_SPLITS,
    TASKONOMY_CLASSES,
    View,
    complete_views,
    find_split_file,
    find_tree,
    number_classes,
    read_depth,
    read_normals,
    read_split_file,
)
from equipoise.data.storage.decoding import centre_crop, resample_image, resample_labels
from equipoise.data.storage.files import count_faults, image_size, read_channels, read_colours, read_plane
from equipoise.tasks import Task
from equipoise.tasks.depth import Depth
from equipoise.tasks.semantic_segmentation import SemanticSegmentation
from equipoise.tasks.surface_normals import SurfaceNormals

MASK = "mask"
"""The key of the images that mark valid pixels."""

VIEWS = {"train": 56783, "val": 23725, "test": 23889}
"""The numbers of views in Omnidata's split of Replica."""


@register("replica")
class Replica(Dataset):
    """Views of the 18 scenes of Replica (Straub et al., 2019) rendered by Omnidata, in its split; 512x512 pixels.

    On disk: `ROOT/<domain>/<component>/<scene>/point_P_view_V_domain_<domain>.png`. Older tools wrote
    `ROOT/<scene>/<domain>/...` and, for Taskonomy, `ROOT/<domain>/<building>/...`; `omnidata.FORMS` lists all. A sample
    is a view of which every wanted domain has an image. `equipoise.data.check` reports missing ones.

    - `seg` from `semantic`: 8-bit RGB whose red is the class. Classes 1 to 101 become 0 to 100; 0 (undefined) and 255
      are unlabelled. Guo et al. (2025) do not say which classes they use.
    - `depth` from `depth_zbuffer` or `depth_euclidean`: 16 bits, metres = v / 512, 65535 where nothing is.
    - `normals` from `normal`: 8-bit RGB, 2 v / 255 - 1, in the frame of `SurfaceNormals`; exactly grey (128, 128, 128)
      where nothing is. Vectors are scaled to unit length.

    Depth and normals are also unknown where `mask_valid`, if there is one, is 0. (Omnidata's loader widens the unknown
    region by two pixels in training; this one does not.)

    The file `id,train,val,test` (`train_val_test_*.csv`) in the root gives the split. Without one it is Replica's own:
    10, 4 and 4 scenes with 56,783, 23,725 and 23,889 views (Guo et al. misprint the last as 13,889).

    Other components are read in the same way. `seg` of `taskonomy` is `segment_semantic`, 8 bits: 1 (background) to 17
    become 0 to 16, and 0 (uncertain) is unlabelled. Further components have depth and normals alone. Omnidata's loaders
    leave out faulty buildings of Taskonomy: the first loader newfields, ludlowville, goodyear, castroville and rough,
    today's mosquito, tansboro, tomkins, darnestown, brinnon and rough. To leave them out, set their rows to 0.

    Args:
        root: The directory.
        split: `"train"`, `"val"` or `"test"`.
        tasks: See `Dataset`.
        transform: See `Dataset`.
        component: The name of one of the datasets in the root.
        depth: `"zbuffer"`, the distance along the viewing axis, or `"euclidean"`, along the ray. Guo et al. do not say
            which they use.
        size: The side of the images in pixels: the shorter side is resampled to it and the middle cropped. The stored
            size by default. The first release of Taskonomy needs it, as its images have twice the size of their labels.
        split_file: The path of the split's file below the root, if there are several.

    Raises:
        ValueError: `depth` or `size` is out of range, or the component has no such task.
        DatasetError: The directory is missing or lacks a domain, or it has no scene of the split.
    """

    source = (
        "https://docs.omnidata.vision/starter_dataset_download.html: `omnitools.download rgb semantic depth_zbuffer "
        "normal mask_valid --components replica`"
    )

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        split: str = "train",
        tasks: Iterable[str] | None = None,
        transform: Transform | None = None,
        component: str = "replica",
        depth: Literal["zbuffer", "euclidean"] = "zbuffer",
        size: int | None = None,
        split_file: str | None = None,
    ) -> None:
        if depth not in ("zbuffer", "euclidean"):
            raise ValueError(f"`depth` should be 'zbuffer' or 'euclidean'. Found `depth = {depth!r}`.")
        if size is not None and size < 1:
            raise ValueError(f"`size` should be 1 or more. Found `size = {size}`.")
        self.component = component
        self.size = size
        self.split_file = split_file
        self._domains = _domains(component, depth)
        self._names: dict[str, dict[str, str]] = {}
        self._faults: list[DatasetError] = []
        super().__init__(root, split=split, tasks=tasks, transform=transform, options={"component": component})

    @classmethod
    def all_tasks(cls, root: str | Path | None = None, options: Mapping[str, Any] = NO_OPTIONS) -> tuple[Task, ...]:
        """Return segmentation, if the component has known classes, depth and normals."""
        classes = {"replica": REPLICA_CLASSES, "taskonomy": TASKONOMY_CLASSES}.get(options.get("component", "replica"))
        geometry = (Depth(name="depth"), SurfaceNormals(name="normals"))
        return geometry if classes is None else (SemanticSegmentation(name="seg", classes=classes), *geometry)

    @classmethod
    def sources(cls, root: Path, options: Mapping[str, Any]) -> list[Path]:
        """Return the folders of all domains that are read, and the file of the split."""
        component = options.get("component", "replica")
        tree = find_tree(root, component)
        domains = _domains(component, options.get("depth", "zbuffer")).values()
        folders = [tree.folder(domain, scene) for scene in tree.scenes() for domain in domains]
        split_file = _split_file(root, component, options.get("split_file"))
        return folders if split_file is None else [*folders, split_file]

    def identify(self) -> list[str]:
        """Return `<scene>/point_P_view_V` for every view of the split's scenes that has all domains."""
        tree = self._tree = find_tree(self.root, self.component)
        path = _split_file(self.root, self.component, self.split_file)
        if path is None and self.component != "replica":
            raise DatasetError(self.root, f"has no file `id,train,val,test` of {self.component!r}; see `split_file`")
        scenes = sorted(set((REPLICA_SPLITS if path is None else read_split_file(path)).get(self.split, ())))
        there = set(tree.scenes())
        if not there.intersection(scenes):
            what = f"has no scenes of the split {self.split!r} ({', '.join(scenes) or 'none listed'})"
            # A part of Replica may have been downloaded on purpose. A list in the root should fit.
            raise EmptySplitError(self.root, what) if path is None else DatasetError(path, what)
        names = [name for scene in scenes if scene in there for name in self._views(scene)]
        if path is None:
            self._faults += count_faults(self.root, len(names), VIEWS[self.split], self.source)
        else:
            self._faults += [
                DatasetError(tree.folder("rgb", scene), f"is missing, though {path.name} lists the scene")
                for scene in scenes
                if scene not in there
            ]
        return names

    def _views(self, scene: str) -> list[str]:
        found = {key: self._tree.views(self._domains[key], scene) for key in ("image", *self.active_tasks)}
        for key, views in found.items():
            if not views:
                raise DatasetError(self._tree.folder(self._domains[key], scene), "is missing, or has no images")
        complete = complete_views(found.values())
        if masks := self._tree.views(self._domains[MASK], scene):
            found[MASK] = masks
        self._note_gaps(scene, found)
        names = ["{}/point_{}_view_{}".format(scene, *view) for view in complete]
        for name, view in zip(names, complete, strict=True):
            self._names[name] = {key: views[view] for key, views in found.items() if view in views}
        return names

    def _note_gaps(self, scene: str, found: Mapping[str, Mapping[View, str]]) -> None:
        every = set().union(*found.values())
        for key, views in found.items():
            domain = self._domains[key]
            for point, view in sorted(every.difference(views)):
                path = self._tree.folder(domain, scene) / f"point_{point}_view_{view}_domain_{domain}.png"
                self._faults.append(DatasetError(path, "is missing, though other images of the view are there"))

    def faults(self) -> list[DatasetError]:
        """Return errors for missing scenes of the split and missing images of its views."""
        return self._faults

    def scene(self, identifier: str) -> str:
        """Return the scene."""
        return identifier.rsplit("/", 1)[0]

    def file(self, identifier: str, key: str) -> Path:
        """Return the file of an image or target."""
        return self._tree.folder(self._domains[key], self.scene(identifier)) / self._names[identifier][key]

    def read(self, identifier: str, key: str) -> Tensor:
        """Return the image or a target."""
        if key == "image":
            image = read_colours(self.file(identifier, key))
            return image if self.size is None else centre_crop(resample_image(image, self._fit(image)), self.size)
        labels = self._labels(identifier, key)
        if self.size is None:
            return labels
        size, found = image_size(self.file(identifier, "image")), tuple(labels.shape[-2:])
        # The first release of Taskonomy has images of twice the size of their labels.
        doubled = (2 * found[0], 2 * found[1]) if self.component == "taskonomy" else found
        if size not in (found, doubled):
            raise DatasetError(self.file(identifier, key), f"should have the size of its image, {size}; it has {found}")
        return centre_crop(resample_labels(labels, self._fit(labels)), self.size)

    def _fit(self, values: Tensor) -> tuple[int, int]:
        """Return the (height, width) at which the shorter side has the wanted length."""
        height, width = values.shape[-2:]
        side = self.size or 0
        return (side, side * width // height) if height < width else (side * height // width, side)

    def _labels(self, identifier: str, key: str) -> Tensor:
        path = self.file(identifier, key)
        if key == "seg":
            stored = read_plane(path) if self.component == "taskonomy" else read_channels(path)[0]
            return number_classes(stored, len(self.active_tasks[key].classes), path)
        mask = self.file(identifier, MASK) if MASK in self._names[identifier] else None
        return read_depth(path, mask) if key == "depth" else read_normals(path, mask)


def _domains(component: str, depth: str) -> dict[str, str]:
    """Return the domain of each part of a sample."""
    return {
        "image": "rgb",
        "seg": "segment_semantic" if component == "taskonomy" else "semantic",
        "depth": f"depth_{depth}",
        "normals": "normal",
        MASK: "mask_valid",
    }


def _split_file(root: Path, component: str, name: str | None) -> Path | None:
    return root / name if name else find_split_file(root, component)
