"""The trees that Omnidata's tools download (Eftekhar et al., ICCV 2021): directories, splits and encodings."""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from equipoise.data.core.sample import DatasetError
from equipoise.data.storage.decoding import unit_normals
from equipoise.data.storage.files import read_channels, read_plane, read_text, read_wide_plane

FORMS = (
    "{domain}/{component}/{scene}",
    "{component}-taskonomized/{scene}/{domain}",
    "{component}/{domain}/{scene}",
    "{component}/{scene}/{domain}",
    "{domain}/{scene}",
    "{scene}/{domain}",
)
"""How directories are nested: as today's tool downloads them, as Replica and Taskonomy came before, and likewise if the
root is the component's own directory."""

VIEW = re.compile(r"point_(\d+)_view_(\d+)_.*\.png", re.IGNORECASE)

View = tuple[int, int]
"""The numbers of a point and of a view towards it."""

UNLABELLED = 255
NO_GEOMETRY = 65535
GREY = 128
"""Codes: of pixels without a class, of depths where nothing is, and of each channel of normals where nothing is."""

SHORTEST = 0.5
"""The smallest length of a direction. A shorter vector is an average of several."""

REPLICA_CLASSES = (
    "backpack", "base-cabinet", "basket", "bathtub", "beam", "beanbag", "bed", "bench", "bike", "bin", "blanket",
    "blinds", "book", "bottle", "box", "bowl", "camera", "cabinet", "candle", "chair", "chopping-board", "clock",
    "cloth", "clothing", "coaster", "comforter", "computer-keyboard", "cup", "cushion", "curtain", "ceiling",
    "cooktop", "countertop", "desk", "desk-organizer", "desktop-computer", "door", "exercise-ball", "faucet", "floor",
    "handbag", "hair-dryer", "handrail", "indoor-plant", "knife-block", "kitchen-utensil", "lamp", "laptop",
    "major-appliance", "mat", "microwave", "monitor", "mouse", "nightstand", "pan", "panel", "paper-towel", "phone",
    "picture", "pillar", "pillow", "pipe", "plant-stand", "plate", "pot", "rack", "refrigerator", "remote-control",
    "scarf", "sculpture", "shelf", "shoe", "shower-stall", "sink", "small-appliance", "sofa", "stair", "stool",
    "switch", "table", "table-runner", "tablet", "tissue-paper", "toilet", "toothbrush", "towel", "tv-screen",
    "tv-stand", "umbrella", "utensil-holder", "vase", "vent", "wall", "wall-cabinet", "wall-plug", "wardrobe",
    "window", "rug", "logo", "bag", "set-of-clothing",
)  # fmt: skip
"""The classes 1 to 101 of `semantic`; 0 is undefined."""

TASKONOMY_CLASSES = (
    "background", "bottle", "chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv", "microwave",
    "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase",
)  # fmt: skip
"""The classes 1 to 17 of `segment_semantic`, predictions of a network; 0 is uncertain."""

REPLICA_SPLITS = {
    "train": (
        "frl_apartment_0", "frl_apartment_1", "apartment_0", "apartment_1", "office_1", "office_3", "office_4",
        "room_0", "room_2", "hotel_0",
    ),
    "val": ("apartment_2", "office_0", "frl_apartment_2", "frl_apartment_3"),
    "test": ("room_1", "office_2", "frl_apartment_4", "frl_apartment_5"),
}  # fmt: skip
"""Omnidata's split of Replica's scenes."""


@dataclass(frozen=True)
class Tree:
    """One component of a downloaded tree.

    Attributes:
        root: The directory.
        component: The dataset within it, such as `"replica"`.
        form: One of `FORMS`.
    """

    root: Path
    component: str
    form: str

    def folder(self, domain: str, scene: str) -> Path:
        """Return the directory of a scene's images of one kind."""
        return self.root / self.form.format(domain=domain, component=self.component, scene=scene)

    def scenes(self) -> list[str]:
        """Return the names of the scenes that have colour images."""
        pattern = self.form.format(domain="rgb", component=self.component, scene="*")
        depth = Path(pattern).parts.index("*") - len(Path(pattern).parts)
        return sorted(path.parts[depth] for path in self.root.glob(pattern) if path.is_dir())

    def views(self, domain: str, scene: str) -> dict[View, str]:
        """Return the names of the images of one kind of a scene.

        The folder decides what an image shows, not its name. In Taskonomy the two differ.
        """
        folder = self.folder(domain, scene)
        if not folder.is_dir():
            return {}
        matches = (VIEW.fullmatch(path.name) for path in folder.iterdir())
        return {(int(match[1]), int(match[2])): match[0] for match in matches if match}


def find_tree(root: Path, component: str) -> Tree:
    """Return the tree of a component, in the form that the directory has.

    Raises:
        DatasetError: It has none of the known forms.
    """
    for form in FORMS:
        tree = Tree(root, component, form)
        if any(tree.views("rgb", scene) for scene in tree.scenes()):
            return tree
    forms = ", ".join(form.format(domain="rgb", component=component, scene="SCENE") for form in FORMS)
    raise DatasetError(root, f"has no images `point_P_view_V_*.png` of {component!r} in any of {forms}")


def find_split_file(root: Path, component: str) -> Path | None:
    """Return the only `.csv` of a directory (or of `splits` in it), or the only one named after the component.

    Raises:
        DatasetError: There are several.
    """
    every = sorted(path for folder in (root, root / "splits") for path in folder.glob("*.csv"))
    named = [path for path in every if f"_{path.stem}".endswith(f"_{component}")]
    if len(named or every) > 1:
        names = ", ".join(path.name for path in named or every)
        raise DatasetError(root, f"has several files of splits: {names}; say with `split_file` which one to use")
    return (named or every or [None])[0]


def read_split_file(path: Path) -> dict[str, list[str]]:
    """Return the scenes of every split of a file `id,train,val,test`, which marks them with 1.

    Raises:
        DatasetError: The file is missing or is no such table.
    """
    rows = [[cell.strip() for cell in row] for row in csv.reader(read_text(path).splitlines()) if row]
    header = [cell.lower() for cell in rows[0]] if rows else []
    if "id" not in header or "train" not in header:
        raise DatasetError(path, f"should begin with the line `id,train,val,test`; it begins with {','.join(header)!r}")
    splits: dict[str, list[str]] = {name: [] for name in header if name != "id"}
    for row in rows[1:]:
        cells = dict(zip(header, row, strict=False))
        if len(row) != len(header) or any(cells[split] not in ("0", "1") for split in splits):
            raise DatasetError(path, f"should hold a name and {len(splits)} times 0 or 1; it holds {','.join(row)!r}")
        for split, scenes in splits.items():
            if cells[split] == "1":
                scenes.append(cells["id"])
    return splits


def complete_views(domains: Iterable[Mapping[View, str]]) -> list[View]:
    """Return the views of which all kinds have an image, in the order of their numbers."""
    first, *others = domains
    return sorted(view for view in first if all(view in other for other in others))


def number_classes(stored: Tensor, count: int, path: Path) -> Tensor:
    """Return classes from 0 on, uint8 `[H, W]`, for numbers from 1 on; 255 where the number is 0 or 255.

    Raises:
        DatasetError: A number is above `count`.
    """
    unlabelled = (stored == 0) | (stored == UNLABELLED)
    wrong = stored[~unlabelled & (stored > count)].unique().tolist()
    if wrong:
        raise DatasetError(path, f"should hold classes up to {count}; it holds {', '.join(map(str, wrong))}")
    return (stored - 1).masked_fill(unlabelled, UNLABELLED)


def read_depth(path: Path, mask: Path | None) -> Tensor:
    """Return depths in metres, float32 `[1, H, W]`, 0 where nothing is.

    Raises:
        DatasetError: A file is missing or damaged, or the mask has another size.
    """
    stored = read_wide_plane(path)
    return (stored.float() / 512).where((stored != NO_GEOMETRY) & _seen(mask, stored, path), 0)[None]


def read_normals(path: Path, mask: Path | None) -> Tensor:
    """Return unit vectors, float32 `[3, H, W]`, zero where nothing is.

    Raises:
        DatasetError: A file is missing or damaged, or the mask has another size.
    """
    stored = read_channels(path)
    known = (stored != GREY).any(dim=0) & _seen(mask, stored[0], path)
    return unit_normals(stored.float() * 2 / 255 - 1, SHORTEST).where(known, 0)


def _seen(mask: Path | None, plane: Tensor, path: Path) -> Tensor:
    """Return where `mask_valid` marks pixels as valid; everywhere without a mask."""
    if mask is None:
        return torch.ones_like(plane, dtype=torch.bool)
    valid = read_plane(mask)
    if valid.shape != plane.shape:
        what = f"should have the size of {path.name}, {tuple(plane.shape)}; it has {tuple(valid.shape)}"
        raise DatasetError(mask, what)
    return valid > 0
