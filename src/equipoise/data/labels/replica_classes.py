"""What the numbers in the label files of Replica and Taskonomy stand for."""

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
"""The classes 1 to 101 of ``semantic``; 0 is undefined."""

TASKONOMY_CLASSES = (
    "background", "bottle", "chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv", "microwave",
    "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase",
)  # fmt: skip
"""The classes 1 to 17 of ``segment_semantic``, predictions of a network; 0 is uncertain."""
