"""Datasets, the transforms that act on an image and its targets together, and a look at what is in them.

Every dataset is one file of ``equipoise/data/datasets``, named after the dataset; a new dataset is a new file and no
edit elsewhere.
"""

from equipoise.data.base import Dataset, DatasetError, Sample, Transform
from equipoise.data.caching import Cache
from equipoise.data.check import check
from equipoise.data.collate import Collate
from equipoise.data.corruption import Corruption
from equipoise.data.registry import OnError, available, create, dataset_class, options, tasks
from equipoise.data.report import Fault, Report
from equipoise.data.sheet import contact_sheet, corruption_sheet
from equipoise.data.subset import Subset

__all__ = [
    "Cache",
    "Collate",
    "Corruption",
    "Dataset",
    "DatasetError",
    "Fault",
    "OnError",
    "Report",
    "Sample",
    "Subset",
    "Transform",
    "available",
    "check",
    "contact_sheet",
    "corruption_sheet",
    "create",
    "dataset_class",
    "options",
    "tasks",
]
