"""Datasets, the transforms that act on an image and its targets together, and a look at what is in them.

Every dataset is one file of ``equipoise/data/datasets``, named after the dataset; a new dataset is a new file and no
edit elsewhere.
"""

from equipoise.data.base import Dataset, DatasetError, Sample, Transform
from equipoise.data.check import Fault, Report, check
from equipoise.data.collate import Collate
from equipoise.data.registry import available, create, dataset_class, options, tasks
from equipoise.data.sheet import contact_sheet

__all__ = [
    "Collate",
    "Dataset",
    "DatasetError",
    "Fault",
    "Report",
    "Sample",
    "Transform",
    "available",
    "check",
    "contact_sheet",
    "create",
    "dataset_class",
    "options",
    "tasks",
]
