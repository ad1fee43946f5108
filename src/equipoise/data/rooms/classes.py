"""Names and colours of the semantic classes and object parts of the rooms."""

STRUCTURE = ("wall", "floor", "ceiling")
"""Classes that belong to the room itself: instance 0, part 0, never salient."""

OPENINGS = ("door", "window", "rug", "curtain")
"""Classes that have instances and parts but are never salient."""

CLASS_COLOURS: dict[str, tuple[int, int, int]] = {
    "wall": (174, 199, 232),
    "floor": (152, 223, 138),
    "ceiling": (219, 219, 240),
    "door": (214, 39, 40),
    "window": (23, 190, 207),
    "table": (255, 127, 14),
    "chair": (188, 189, 34),
    "sofa": (140, 86, 75),
    "bed": (255, 187, 120),
    "cabinet": (31, 119, 180),
    "shelf": (148, 103, 189),
    "lamp": (255, 221, 51),
    "picture": (227, 119, 194),
    "rug": (199, 199, 112),
    "plant": (44, 160, 44),
    "box": (120, 94, 60),
    "ball": (255, 64, 129),
    "books": (96, 76, 160),
    "pillow": (247, 182, 210),
    "television": (60, 60, 72),
    "curtain": (100, 170, 150),
}

PART_COLOURS: dict[str, tuple[int, int, int]] = {
    "background": (0, 0, 0),
    "leg": (230, 120, 40),
    "top": (240, 200, 80),
    "seat": (90, 170, 80),
    "back": (50, 110, 180),
    "arm": (150, 90, 180),
    "body": (190, 190, 190),
    "panel": (120, 200, 220),
    "frame": (170, 60, 60),
    "handle": (255, 255, 255),
    "board": (140, 110, 70),
    "stem": (120, 130, 40),
    "shade": (255, 240, 150),
    "foliage": (40, 150, 60),
    "pot": (200, 110, 100),
    "mattress": (230, 170, 200),
}

SEMANTIC_CLASSES: tuple[str, ...] = tuple(CLASS_COLOURS)
"""Class names; a pixel of `<scan>_segmentation.png` is an index into this tuple."""

PART_CLASSES: tuple[str, ...] = tuple(PART_COLOURS)
"""Part names; a pixel of `<scan>_parts.png` is an index into this tuple, 0 is background."""
