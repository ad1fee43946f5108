"""Everything a run needs, built from its configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric

from equipoise import balancing, data, models
from equipoise.balancing import Balancer
from equipoise.config import RunConfig, TrainingConfig
from equipoise.data import Dataset, Transform, transforms
from equipoise.diagnosis import FeatureDistance, Probe
from equipoise.models import MultiTaskModel
from equipoise.tasks import Task
from equipoise.training import schedules
from equipoise.training.loading import Loader, TrainLoader
from equipoise.training.schedules import Schedule

PROBE = "probe.parquet"
"""In the directory of a run: the gradients that were recorded."""
DISTANCES = "feature_distance.parquet"
"""In the directory of a run: how far its features were from those of single-task networks, where it was asked for."""


@dataclass(frozen=True)
class EvaluationSplit:
    """A split that is measured, not trained on.

    Attributes:
        split: Its name.
        tasks: What is measured on it, with the metrics to measure.
        loader: Its batches.
    """

    split: str
    tasks: Mapping[str, Task]
    loader: Loader


@dataclass
class Session:
    """The moving parts of a run.

    Attributes:
        fabric: Device and precision.
        tasks: What the network learns.
        model: The network.
        last_layer: The last layer of it that all tasks share; finding it takes longer than a step may.
        balancer: What turns its losses into gradients.
        optimizer: What turns gradients into steps.
        schedule: The learning rate over time.
        train_loader: Training batches.
        further_loader: The same batches in another order, for balancing methods that ask for more than one.
        chosen_on: The split the checkpoint is chosen on.
        test: The test split.
        input: What the network reads: its key in a batch.
        probe: What looks at the gradients, if anything does.
        distance: What measures how far shared features are from those of single-task networks, if anything does.
        teachers: Finished single-task networks by task, for a balancer or a measurement that asks for them.
    """

    fabric: Fabric
    tasks: Mapping[str, Task]
    model: MultiTaskModel
    last_layer: torch.nn.Module
    balancer: Balancer
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    train_loader: TrainLoader
    further_loader: TrainLoader
    chosen_on: EvaluationSplit
    test: EvaluationSplit
    input: str
    probe: Probe | None = None
    distance: FeatureDistance | None = None
    teachers: Mapping[str, MultiTaskModel] = field(default_factory=dict)


def prepare(config: RunConfig, directory: Path | None = None) -> Session:
    """Build a run.

    The network's initial weights depend on the seed alone, so that methods are compared from the same start.

    Args:
        config: What is run.
        directory: The run's own, where it leaves what it records.

    Raises:
        ValueError: The configuration asks for what cannot be had, such as a backbone that timm does not know.
        DatasetError: The dataset is not there or lacks a split.
    """
    torch.manual_seed(config.seed)
    settings = config.training
    fabric = _fabric(settings)
    tasks = config.data.tasks(config.tasks)
    model = build_network(config, config.model.pretrained)
    model = model.to(fabric.device).train()
    balancer = balancing.create(config.balancer.name, **config.balancer.options).to(fabric.device)
    optimizer = _optimizer(settings, [*model.parameters(), *balancer.parameters()])
    normalize = normalization(config)
    train = open_split(config, "train", transforms.Compose((*settings.augmentation.transforms(), normalize)))
    train_loader, further_loader = TrainLoader(train, settings), TrainLoader(train, settings)
    as_evaluated = transforms.Compose((*settings.augmentation.evaluation_transforms(), normalize))
    test = open_split(config, "test", as_evaluated)
    test_loader = Loader(test, settings)
    if config.protocol == "paper_one":
        chosen_on = EvaluationSplit("test", tasks, test_loader)
    else:
        validation = open_split(config, "val", as_evaluated)
        chosen_on = EvaluationSplit(
            "val",
            {name: task.while_training() for name, task in tasks.items()},
            Loader(validation, settings),
        )
    schedule = schedules.create(settings, optimizer, len(train_loader))
    last_layer = model.last_shared_layer()
    return Session(
        fabric,
        tasks,
        model,
        last_layer,
        balancer,
        optimizer,
        schedule,
        train_loader,
        further_loader,
        chosen_on,
        EvaluationSplit("test", tasks, test_loader),
        train.input,
        _probe(settings, directory),
        _distance(config, directory),
    )


def build_network(config: RunConfig, pretrained: bool | str) -> MultiTaskModel:
    """The network of a run, with random or pretrained weights.

    Its convolutions keep channels last in memory: a training step takes 0.8 to 0.9 of the time, one of a transformer as
    long as before (`benchmarks/architectures.py`).
    """
    model = models.create(
        config.model.architecture,
        tasks={name: task.output for name, task in config.data.tasks(config.tasks).items()},
        backbone=config.model.backbone,
        pretrained=pretrained,
        **config.model.options,
    )
    return model.to(memory_format=torch.channels_last)


def normalization(config: RunConfig) -> Transform:
    """What brings images into the range that networks expect; nothing where the input is no image."""
    statistics = data.dataset_class(config.data.name).statistics
    return transforms.Compose(() if statistics is None else (transforms.Normalize(*statistics),))


def open_split(config: RunConfig, split: str, transform: Transform) -> Dataset:
    """A split of the data of a run."""
    return data.create(
        config.data.name,
        root=config.data.root,
        split=split,
        tasks=config.tasks,
        transform=transform,
        corrupt=config.data.corrupt,
        subset=config.data.subset,
        cache=config.data.cache,
        on_error=config.data.on_error,
        **config.data.options,
    )


def _probe(settings: TrainingConfig, directory: Path | None) -> Probe | None:
    if settings.probe is None:
        return None
    path = None if directory is None else directory / PROBE
    return Probe(every=settings.probe.every, at=settings.probe.at, path=path)


def _distance(config: RunConfig, directory: Path | None) -> FeatureDistance | None:
    probe = config.training.probe
    # A network of one task is what others are compared with.
    if probe is None or not probe.feature_distance or len(config.tasks) < 2:
        return None
    return FeatureDistance(every=probe.every, path=None if directory is None else directory / DISTANCES)


def _fabric(settings: TrainingConfig) -> Fabric:
    try:
        return Fabric(accelerator=settings.accelerator, devices=1, precision=settings.precision)
    except RuntimeError as error:
        raise ValueError(
            f"`training.accelerator` should be one that this machine has, or `auto`. Found "
            f"`training.accelerator = {settings.accelerator!r}`: {error}"
        ) from error


def _optimizer(settings: TrainingConfig, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    kinds = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "sgd": partial(torch.optim.SGD, momentum=settings.momentum),
    }
    return kinds[settings.optimizer](parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
