"""Datasets, the transforms that act on an image and its targets together, and a look at what is in them.

Every dataset is one file of ``equipoise/data/datasets``, named after the dataset; a new dataset is a new file and no
edit elsewhere.
"""

from equipoise.data.base import Dataset
from equipoise.data.collate import Collate
from equipoise.data.corruption import Corruption
from equipoise.data.errors import DatasetError
from equipoise.data.inspection.check import check
from equipoise.data.inspection.report import Fault, Report
from equipoise.data.inspection.sheet import contact_sheet, corruption_sheet
from equipoise.data.registry import OnError, available, create, dataset_class, options, tasks
from equipoise.data.sample import Sample, Transform
from equipoise.data.storage.caching import Cache
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
