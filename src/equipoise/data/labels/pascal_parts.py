"""The parts of people in the annotations of PASCAL-Part (Chen et al., CVPR 2014)."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.errors import DatasetError
from equipoise.data.readers.matlab import read_structure

PART_CLASSES = ("background", "head", "torso", "upper arm", "lower arm", "upper leg", "lower leg")
"""By class index; hands belong to the lower arms, feet to the lower legs, the neck to the torso."""

PERSON = 15
"""The number of the class "person" among the classes of VOC."""

_PARTS = {
    1: ("head", "hair", "lear", "rear", "lebrow", "rebrow", "leye", "reye", "nose", "mouth"),
    2: ("torso", "neck"),
    3: ("luarm", "ruarm"),
    4: ("llarm", "rlarm", "lhand", "rhand"),
    5: ("luleg", "ruleg"),
    6: ("llleg", "rlleg", "lfoot", "rfoot"),
}
_CLASS_OF = {name: index for index, names in _PARTS.items() for name in names}


def read_parts(path: Path) -> NDArray[np.uint8] | None:
    """Return the part that every pixel shows, ``[H, W]``, or none if the file shows no person whose parts are known.

    Objects and parts are painted in the order of the file, later ones over earlier ones. People without parts are
    passed over, which leaves them background. As in the public loaders, an image counts as one without people if no
    person in it has a mask with any pixel.

    Args:
        path: A ``.mat`` file with the structure ``anno``.

    Raises:
        DatasetError: The file is missing or damaged, or has a part of a person that there is not.
    """
    people = [
        found for found in _entries(path, _annotation(path), "objects") if _field(path, found, "class_ind") == PERSON
    ]
    if not any(np.any(_field(path, person, "mask")) for person in people):
        return None
    painted: NDArray[np.uint8] | None = None
    for part in (part for person in people for part in _entries(path, person, "parts")):
        name, mask = str(_field(path, part, "part_name")), np.asarray(_field(path, part, "mask"))
        if name not in _CLASS_OF:
            raise DatasetError(path, f"should name parts of people; it names {name!r}")
        if painted is None:
            painted = np.zeros(mask.shape, dtype=np.uint8)
        if mask.ndim != 2 or mask.shape != painted.shape:
            raise DatasetError(path, f"should have masks of one size; it has {painted.shape} and {mask.shape}")
        painted[mask != 0] = _CLASS_OF[name]
    return painted


def _annotation(path: Path) -> dict[str, Any]:
    return read_structure(path, "anno")


def _field(path: Path, structure: Any, name: str) -> Any:
    if not isinstance(structure, dict) or name not in structure:
        raise DatasetError(path, f"should have the field `{name}` in its annotation; it does not")
    return structure[name]


def _entries(path: Path, structure: Any, name: str) -> list[Any]:
    """The structures of an array of structures; MATLAB does not tell an array of one from the one."""
    found = _field(path, structure, name)
    return [found] if isinstance(found, dict) else list(found)
