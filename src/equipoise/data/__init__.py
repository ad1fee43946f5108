"""Datasets, the transforms that act on an image and its targets together, and a look at what is in them.

Every dataset is one file of ``equipoise/data/datasets``, named after the dataset; a new dataset is a new file and no
edit elsewhere.
"""

from equipoise.data.core.dataset import Dataset
from equipoise.data.core.label_noise import LabelNoise
from equipoise.data.core.registry import OnError, available, create, dataset_class, options, tasks
from equipoise.data.core.sample import Collate, DatasetError, Sample, Transform
from equipoise.data.core.subset import Subset
from equipoise.data.inspection.check import check
from equipoise.data.inspection.report import Fault, Report
from equipoise.data.inspection.sheet import contact_sheet, corruption_sheet
from equipoise.data.storage.caching import Cache

__all__ = [
    "Cache",
    "Collate",
    "Dataset",
    "DatasetError",
    "Fault",
    "LabelNoise",
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
