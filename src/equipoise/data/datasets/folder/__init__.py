"""The user's own images and labels, described by a manifest."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from equipoise._core.registry import register
from equipoise.data.core.dataset import NO_OPTIONS, Dataset
from equipoise.data.core.sample import DatasetError, Transform
from equipoise.data.datasets.folder.manifest import find_manifest, read_manifest
from equipoise.data.datasets.folder.pairing import choose, entries, strays
from equipoise.data.storage.files import image_size, read_colours, read_map
from equipoise.data.transforms import Compose, Resize
from equipoise.tasks import Task


@register("folder")
class Folder(Dataset):
    """Images and labels of your own, in any layout that a short manifest can describe.

    `ROOT/manifest.yaml` says where images and labels are and what the labels mean:

    ```yaml
    images: photos                      # a directory; its sub-directories count, too
    tasks:
      surface:                          # your name for the task
        kind: semantic_segmentation     # `equipoise.tasks.available()` lists the kinds
        labels: masks                   # the directory, with files of the same names; the task's name by default
        classes: {7: road, 8: pavement, 11: building}   # by the values in the files; all others are unlabelled
      depth:
        kind: depth
        factor: 0.001                   # millimetres in a PNG of 16 bits
        unlabelled: 65535
        farthest: 80                    # a field of the kind's class
    splits: {val: 0.1, test: 0.2, seed: 0}   # shares; or lists: {train: train.txt, val: val.txt, test: test.txt}
    ```

    With `table: samples.csv` every row of that table is a sample. The column `image` holds the path of the image below
    `ROOT`. The column of a task (`labels`, the task's name by default) holds the path of a map or, for a task with one
    label for the whole image, the label itself. A column `split` holds `train`, `val` or `test`. An empty cell, or a
    file that is missing from a task's directory, means that the image has no label of that task.

    A table alone is enough as `ROOT/manifest.csv`. The header of a task's column is then YAML:

    ```
    image,split,"depth: {kind: depth, factor: 0.001}","weather: {kind: classification, classes: [sun, rain]}"
    a.jpg,train,a_depth.png,sun
    b.jpg,val,,rain
    ```

    Stored values in `unlabelled` are no labels. The others are multiplied by `factor`, and `shift` is added (one number
    or one a channel). Without the two, bytes of images have their usual meaning: normals 2v/255 - 1 (x right, y down,
    z forward), yes from 128 on, images v/255. Numbers in `.npy` files are taken as they are. `docs/datasets.md` has an
    example for every kind.

    Images may have any size, and a map has the size of its image. A batch needs one size: give `size`, or let an
    augmentation crop and pad.

    Args:
        root: The directory.
        split: `"train"`, `"val"` or `"test"`.
        tasks: See `Dataset`.
        transform: See `Dataset`.
        manifest: The manifest's path below `root`; `manifest.yaml` or `manifest.csv` by default.
        size: Height and width that every sample is resampled to, labels to the nearest pixel.

    Raises:
        ValueError: There is no such task, or `size` is not positive.
        DatasetError: The manifest is missing or wrong, or a file or directory that it names is missing.
    """

    source = "your own work: docs/datasets.md says what the directory should hold"

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        split: str = "train",
        tasks: Iterable[str] | None = None,
        transform: Transform | None = None,
        manifest: str | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.chosen_manifest = manifest
        steps = (*(() if size is None else (Resize(size),)), *(() if transform is None else (transform,)))
        super().__init__(
            root,
            split=split,
            tasks=tasks,
            transform=Compose(steps) if steps else None,
            options={"manifest": manifest},
        )

    @classmethod
    def all_tasks(cls, root: str | Path | None = None, options: Mapping[str, Any] = NO_OPTIONS) -> tuple[Task, ...]:
        """Return the tasks of the manifest.

        Raises:
            ValueError: `root` is none.
            DatasetError: The manifest is missing or wrong.
        """
        if root is None:
            raise ValueError(
                "`root` should be the directory of your data: its manifest says which tasks there are. "
                "Found `root = None`."
            )
        return read_manifest(find_manifest(Path(root).expanduser(), options.get("manifest"))).all_tasks()

    @classmethod
    def sources(cls, root: Path, options: Mapping[str, Any]) -> list[Path]:
        """Return the manifest and all files that it names."""
        path = find_manifest(root, options.get("manifest"))
        manifest = read_manifest(path)
        dense = {task.name for task in manifest.all_tasks() if task.dense}
        found = [path, *(root / name for name in (manifest.table, *manifest.splits.lists()) if name is not None)]
        for entry in entries(root, manifest).values():
            found += [entry.image, *(root / label for task, label in entry.labels.items() if task in dense)]
        return found

    def identify(self) -> list[str]:
        """Return the paths of the images, without their endings if directories are paired."""
        self.manifest_file = find_manifest(self.root, self.chosen_manifest)
        self.manifest = read_manifest(self.manifest_file)
        self.entries = entries(self.root, self.manifest)
        names = choose(self.root, self.manifest.splits, self.split, self.entries)
        if not names:
            what = f"leaves none of {len(self.entries)} samples to the split {self.split!r}"
            raise DatasetError(self._description, what)
        return names

    def faults(self) -> list[DatasetError]:
        """Return errors for labels without an image, and for tasks without any label."""
        paths = strays(self.root, self.manifest, self.entries)
        labelled = {name for entry in self.entries.values() for name in entry.labels}
        return [
            *(DatasetError(path, "is a label without an image of the same name") for path in paths),
            *(
                DatasetError(self._description, f"gives no sample a label of {name!r}")
                for name in self.active_tasks
                if name not in labelled
            ),
        ]

    @property
    def _description(self) -> Path:
        """The table, if there is one, else the manifest."""
        return self.manifest_file if self.manifest.table is None else self.root / self.manifest.table

    def file(self, identifier: str, key: str) -> Path:
        """Return the file of an image or a map; the table or the manifest if there is none."""
        entry = self.entries[identifier]
        if key == self.input:
            return entry.image
        if key in entry.labels and self.active_tasks[key].dense:
            return self.root / entry.labels[key]
        return self._description

    def read(self, identifier: str, key: str) -> Tensor:
        """Return the image or a target, which is all unlabelled if there is no label."""
        path = self.file(identifier, key)
        if key == self.input:
            return read_colours(path)
        task, label = self.active_tasks[key], self.entries[identifier].labels.get(key)
        try:
            if not task.dense:
                return _nothing(task, ()) if label is None else task.from_text(label)
            if label is None:
                return _nothing(task, image_size(self.entries[identifier].image))
            return self.manifest.tasks[key].target(read_map(path), task)
        except ValueError as error:
            where = "" if task.dense else f"{identifier}: "
            raise DatasetError(path, f"{where}{error}") from error


def _nothing(task: Task, size: tuple[int, ...]) -> Tensor:
    """Return a target without labels. Classes have no axis for channels."""
    channels = () if task.classes else (task.channels,)
    return torch.full((*channels, *size), task.ignore, dtype=task.dtype)
