"""Datasets: open them, transform images together with their targets, check what they hold, and draw samples.

Every dataset is a class that is registered by name. Ours are the files of `equipoise/data/datasets`; a new file there,
or a class of your own under `equipoise.register`, adds a dataset without any other edit.
"""

from equipoise.data.core.dataset import Dataset
from equipoise.data.core.label_noise import LabelNoise
from equipoise.data.core.registry import OnError, available, create, dataset_class, fingerprint, options, tasks
from equipoise.data.core.sample import Collate, DatasetError, Sample, Transform
from equipoise.data.core.splits import Subset
from equipoise.data.inspection.check import check
from equipoise.data.inspection.report import Fault, Report
from equipoise.data.inspection.sheet import contact_sheet, label_noise_sheet
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
    "create",
    "dataset_class",
    "fingerprint",
    "label_noise_sheet",
    "options",
    "tasks",
]
