"""Leaves out the samples of a dataset that cannot be read."""

import warnings
from functools import partial

from equipoise.data.base import Dataset
from equipoise.data.errors import DatasetError
from equipoise.data.threads import threaded


def leave_out_damaged(dataset: Dataset) -> None:
    """Open every file once and leave out the samples in which :func:`equipoise.data.check` finds a fault.

    They are listed in ``skipped`` of the dataset; one warning says how many there are.

    Raises:
        DatasetError: No sample is left.
    """
    errors = dict(zip(dataset.identifiers, threaded(partial(_damage, dataset), dataset.identifiers), strict=True))
    dataset.skipped = [(identifier, error) for identifier, error in errors.items() if error is not None]
    if not dataset.skipped:
        return
    _, first = dataset.skipped[0]
    if len(dataset.skipped) == len(dataset):
        raise DatasetError(first.path, f"{first.what}; of the split {dataset.split!r} no sample is sound")
    warnings.warn(
        f"{len(dataset.skipped)} of {len(dataset)} samples of {dataset.name!r} ({dataset.split}) are left out. "
        f"The first: {first}. `equipoise data check {dataset.name} {dataset.root}` lists all.",
        stacklevel=3,
    )
    dataset.identifiers = [identifier for identifier in dataset.identifiers if errors[identifier] is None]


def _damage(dataset: Dataset, identifier: str) -> DatasetError | None:
    try:
        sample = dataset.decode(identifier)
    except DatasetError as error:
        return error
    for name, task in dataset.active_tasks.items():
        for fault in task.faults(task.finish(sample[name].to(task.dtype))):
            return DatasetError(dataset.file(identifier, name), fault)
    return None
