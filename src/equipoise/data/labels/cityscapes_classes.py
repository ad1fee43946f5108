"""What the numbers in the label files of Cityscapes stand for (Cordts et al., CVPR 2016)."""

CLASSES = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
"""The 19 evaluated classes in the order of their training indices: number in a file, name, colour."""

CATEGORIES = (
    ("flat", range(0, 2)),
    ("construction", range(2, 5)),
    ("object", range(5, 8)),
    ("nature", range(8, 10)),
    ("sky", range(10, 11)),
    ("human", range(11, 13)),
    ("vehicle", range(13, 19)),
)
"""The 7 categories and the classes of each.

As P2 groups the evaluated classes; parking, tunnels, caravans and others, which officially belong to a category but are
no evaluated class, stay unlabelled.
"""

THINGS = tuple(number for number, _, _ in CLASSES if number >= 24)
"""The numbers of the eight classes whose instances are told apart: people and vehicles."""

LARGEST_NUMBER = 33
"""The largest number of a class in a file."""
