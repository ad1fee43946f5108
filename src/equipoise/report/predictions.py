"""What the networks of a study predict for some images, as pictures beside those of the labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from equipoise.config import RunConfig
from equipoise.data import Dataset, DatasetError, transforms
from equipoise.data.core.sample import Sample as Loaded
from equipoise.studies import RunRow
from equipoise.studies.results.frames import directory_of
from equipoise.tasks import Task
from equipoise.training import read_result
from equipoise.training.checkpoints import load_network
from equipoise.training.session import normalization, open_split

Picture = np.ndarray
"""uint8 `[3, H, W]`."""


@dataclass(frozen=True)
class Sample:
    """One test image.

    Attributes:
        identifier: What the dataset calls it.
        image: What the networks saw, before normalisation.
        labels: The picture of the label by task; a task without a label has none.
        predictions: By method (in a study with variants: `variant, method`), the picture of the prediction by task.
            The single-task networks are one method.
    """

    identifier: str
    image: Picture
    labels: dict[str, Picture]
    predictions: dict[str, dict[str, Picture]] = field(default_factory=dict)


@dataclass(frozen=True)
class Predictions:
    """Test images with what networks predict for them.

    Attributes:
        samples: The images; those of variants with other test data follow each other.
        left_out: Why the predictions of a run are not there, by its directory's name.
    """

    samples: list[Sample]
    left_out: dict[str, str] = field(default_factory=dict)


def predicted(records: Sequence[RunRow], root: Path, images: int = 4) -> Predictions:
    """Let the best checkpoint of every method predict some test images, always the same, on the processor.

    Args:
        records: The runs of a study. Of every method the first seed that is finished is taken; what is not finished,
            or cannot be loaded, is left out.
        root: The directory that all studies share.
        images: How many, of each set of test data: variants may differ in theirs.
    """
    found = Predictions([])
    for group in _by_test_data(_finished(records, root)):
        _predict(group, images, found)
    return found


class _Run(NamedTuple):
    method: str
    directory: Path
    config: RunConfig


def _finished(records: Sequence[RunRow], root: Path) -> list[_Run]:
    """The run to show of every method, and of every task of the single-task networks."""
    found: dict[tuple[str | None, str, tuple[str, ...]], _Run] = {}
    for record in sorted(records, key=lambda record: record.seed):
        key = (record.variant, record.balancer, record.tasks)
        directory = directory_of(record, root)
        if key not in found and (result := read_result(directory)) is not None:
            method = f"{record.variant}, {record.balancer}" if record.variant else record.balancer
            found[key] = _Run(method, directory, result.config)
    order = dict.fromkeys((record.variant, record.balancer, record.tasks) for record in records)
    return [found[key] for key in order if key in found]


def _alone(run: _Run) -> int:
    return -len(run.config.tasks)


def _by_test_data(runs: Sequence[_Run]) -> Iterator[list[_Run]]:
    groups: dict[str, list[_Run]] = {}
    for run in runs:
        # What is done to training data alone, and how files are kept, makes no other test data.
        data = run.config.data.model_dump(mode="json", exclude={"corrupt", "subset", "cache", "on_error"})
        groups.setdefault(f"{data} {run.config.training.augmentation.evaluation_transforms()}", []).append(run)
    yield from groups.values()


def _predict(runs: Sequence[_Run], images: int, found: Predictions) -> None:
    config = runs[0].config
    # Those of multi-task networks first, in the order of the recipe.
    tasks = tuple(dict.fromkeys(task for run in sorted(runs, key=_alone) for task in run.config.tasks))
    # A few images are not worth decoding all.
    whole = config.model_copy(update={"tasks": tasks, "data": config.data.model_copy(update={"cache": "none"})})
    try:
        as_evaluated = transforms.Compose(config.training.augmentation.evaluation_transforms())
        dataset = open_split(whole, "test", as_evaluated)
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


def _sample(dataset: Dataset, place: int, loaded: Loaded) -> Sample:
    labels = {name: _drawn(task, loaded[name]) for name, task in dataset.active_tasks.items() if name in loaded}
    return Sample(dataset.identifiers[place], dataset.draw_input(loaded[dataset.input]).numpy(), labels)


@torch.no_grad()
def _pictures(run: _Run, dataset: Dataset, inputs: Sequence[Loaded]) -> list[dict[str, Picture]]:
    """What the network of a run predicts for each input."""
    model, adapt = load_network(run.directory)
    found = []
    for one in inputs:
        # One by one: images of a dataset may differ in size.
        outputs = model(dataset.collate()([one])[dataset.input], adapt)
        tasks = {name: dataset.active_tasks[name] for name in run.config.tasks}
        found.append(
            {name: _drawn(task, task.activate(outputs.predictions[name].float())[0]) for name, task in tasks.items()}
        )
    return found


def _drawn(task: Task, target: torch.Tensor) -> Picture:
    # A network that has diverged predicts what is no number.
    return task.draw(torch.nan_to_num(target) if target.is_floating_point() else target).numpy()
