"""The embedded dataset `rooms`: procedurally generated, ray-cast indoor scenes with exact labels.

Every scan has an image, semantic classes, instance numbers, depth, surface normals, object edges, saliency and object
parts. The dataset needs no download: it is generated, byte for byte the same for a seed.
"""

from equipoise.data.rooms.classes import CLASS_COLOURS, PART_CLASSES, PART_COLOURS, SEMANTIC_CLASSES
from equipoise.data.rooms.generate import ENCODINGS, GENERATOR_VERSION, arguments, cached, generate

__all__ = [
    "CLASS_COLOURS",
    "ENCODINGS",
    "GENERATOR_VERSION",
    "PART_CLASSES",
    "PART_COLOURS",
    "SEMANTIC_CLASSES",
    "arguments",
    "cached",
    "generate",
]
