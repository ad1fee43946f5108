"""Predictions of the networks of a study for some test images, as pictures beside those of the labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from equipoise.config import RunConfig
from equipoise.data import Dataset, DatasetError, transforms
from equipoise.data.core.sample import Sample as DataSample
from equipoise.studies import RunRow
from equipoise.studies.results.frames import directory_of
from equipoise.studies.results.groups import group, method_of
from equipoise.tasks import Task
from equipoise.training import read_result
from equipoise.training.checkpoints import load_network
from equipoise.training.session import normalization, open_split

Picture = np.ndarray
"""uint8 `[3, H, W]`."""


@dataclass(frozen=True)
class Sample:
    """A test image with labels and predictions.

    Attributes:
        identifier: The name of the sample in its dataset.
        image: The image before normalisation.
        labels: The picture of the label by task; a task without a label is absent.
        predictions: By method (in a study with variants `variant, method`), the picture of the prediction by task. The
            single-task networks are one method.
    """

    identifier: str
    image: Picture
    labels: dict[str, Picture]
    predictions: dict[str, dict[str, Picture]] = field(default_factory=dict)


@dataclass(frozen=True)
class Predictions:
    """Test images with the predictions of networks.

    Attributes:
        samples: The images. Variants with other test data have images of their own, which follow.
        left_out: Why the predictions of a run are missing, by the name of its directory.
    """

    samples: list[Sample]
    left_out: dict[str, str] = field(default_factory=dict)


def predict_samples(records: Sequence[RunRow], root: Path, images: int = 4) -> Predictions:
    """Predict some test images, always the same, with the best checkpoint of every method, on the CPU.

    Args:
        records: The runs of a study. The first finished seed of every method is taken. Runs that are not finished or
            cannot be loaded are left out.
        root: The directory that all studies share.
        images: Number of images for each set of test data: variants may differ in theirs.
    """
    found = Predictions([])
    for runs in group(_first_seeds(records, root), _test_data).values():
        _predict(runs, images, found)
    return found


class _Run(NamedTuple):
    method: str
    directory: Path
    config: RunConfig


def _first_seeds(records: Sequence[RunRow], root: Path) -> list[_Run]:
    """Return the first finished seed of every method, and of every task of the single-task networks."""
    found = []
    for seeds in group(records, lambda record: (method_of(record), record.tasks)).values():
        for record in sorted(seeds, key=lambda record: record.seed):
            directory = directory_of(record, root)
            if (result := read_result(directory)) is not None:
                found.append(_Run(method_of(record).title, directory, result.config))
                break
    return found


def _test_data(run: _Run) -> str:
    # Changes to training data alone, and how files are cached, leave the test data as they are.
    content = run.config.data.model_dump(mode="json", exclude={"corrupt", "subset", "cache", "on_error"})
    return f"{content} {run.config.training.augmentation.evaluation_transforms()}"


def _predict(runs: Sequence[_Run], images: int, found: Predictions) -> None:
    """Add images, with the predictions of runs that share their test data."""
    config = runs[0].config
    # The tasks of multi-task networks first, in the order of the recipe.
    longest_first = sorted(runs, key=lambda run: -len(run.config.tasks))
    tasks = tuple(dict.fromkeys(task for run in longest_first for task in run.config.tasks))
    # Without a cache: it would decode all images.
    every_task = config.model_copy(update={"tasks": tasks, "data": config.data.model_copy(update={"cache": "none"})})
    try:
        as_evaluated = transforms.Compose(config.training.augmentation.evaluation_transforms())
        dataset = open_split(every_task, "test", as_evaluated)
        some = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))[:images].sort().values.tolist()
        loaded = [dataset[place] for place in some]
    except DatasetError as error:
        found.left_out.update((run.directory.name, str(error)) for run in runs)
        return
    samples = [_sample(dataset, place, one) for place, one in zip(some, loaded, strict=True)]
    normalize = normalization(config)
    inputs = [normalize(one, dataset.active_tasks) for one in loaded]
    for run in runs:
        try:
            pictures = _pictures(run, dataset, inputs)
        except ValueError as error:
            found.left_out[run.directory.name] = str(error)
            continue
        for sample, of_run in zip(samples, pictures, strict=True):
            sample.predictions.setdefault(run.method, {}).update(of_run)
    found.samples.extend(samples)


def _sample(dataset: Dataset, place: int, loaded: DataSample) -> Sample:
    labels = {name: _picture(task, loaded[name]) for name, task in dataset.active_tasks.items() if name in loaded}
    return Sample(dataset.identifiers[place], dataset.draw_input(loaded[dataset.input]).numpy(), labels)


@torch.no_grad()
def _pictures(run: _Run, dataset: Dataset, inputs: Sequence[DataSample]) -> list[dict[str, Picture]]:
    """Return the predictions of a run's network for each input, by task."""
    model, adapt = load_network(run.directory)
    tasks = {name: dataset.active_tasks[name] for name in run.config.tasks}
    found = []
    for one in inputs:
        # One by one: the images of a dataset may differ in size.
        predictions = model(dataset.collate()([one])[dataset.input], adapt).predictions
        found.append(
            {name: _picture(task, task.activate(predictions[name].float())[0]) for name, task in tasks.items()}
        )
    return found


def _picture(task: Task, target: torch.Tensor) -> Picture:
    # The predictions of a network that has diverged may be NaN.
    return task.draw(torch.nan_to_num(target) if target.is_floating_point() else target).numpy()
