"""Everything that one run needs, built from its configuration."""

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
"""File in the directory of a run: the recorded gradients."""
DISTANCES = "feature_distance.parquet"
"""File in the directory of a run: the recorded feature distances, if they were asked for."""


@dataclass(frozen=True)
class EvaluationSplit:
    """A split that the network is evaluated on.

    Attributes:
        split: The name of the split.
        tasks: The tasks to evaluate, with the metrics to compute.
        loader: The batches.
    """

    split: str
    tasks: Mapping[str, Task]
    loader: Loader


@dataclass
class Session:
    """Everything that changes or is used while a run trains.

    Attributes:
        fabric: Device and precision.
        tasks: The tasks of the network.
        model: The network.
        last_layer: The last layer of the network that all tasks share. Finding it can take longer than a step.
        balancer: The balancing method.
        optimizer: The optimiser.
        clip: The largest norm of the gradient of all parameters; 0 does not clip.
        schedule: The learning rate schedule.
        train_loader: Training batches.
        further_loader: The same split in another order, for methods that need more than one batch a step.
        chosen_on: The split that the best checkpoint is chosen on.
        test: The test split.
        input: The key of the network's input in a batch.
        probe: Records gradients; none if the run has no probe.
        feature_distance: Records distances of shared features to those of single-task networks; none if not asked for.
        teachers: Finished single-task networks by task, for a method or a feature distance that needs them.
    """

    fabric: Fabric
    tasks: Mapping[str, Task]
    model: MultiTaskModel
    last_layer: torch.nn.Module
    balancer: Balancer
    optimizer: torch.optim.Optimizer
    clip: float
    schedule: Schedule
    train_loader: TrainLoader
    further_loader: TrainLoader
    chosen_on: EvaluationSplit
    test: EvaluationSplit
    input: str
    probe: Probe | None = None
    feature_distance: FeatureDistance | None = None
    teachers: Mapping[str, MultiTaskModel] = field(default_factory=dict)


def prepare(config: RunConfig, directory: Path | None = None) -> Session:
    """Build everything that a run needs.

    The network's initial weights depend on the seed alone, so that all methods start from the same network.

    Args:
        config: The configuration of the run.
        directory: The directory of the run, where the probe writes its records; none writes nothing.

    Raises:
        ValueError: The configuration asks for something that does not exist, such as a backbone unknown to timm.
        DatasetError: The dataset is missing or lacks a split.
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
    test = EvaluationSplit("test", tasks, Loader(open_split(config, "test", as_evaluated), settings))
    if config.protocol == "paper_one":
        chosen_on = test
    else:
        validation = open_split(config, "val", as_evaluated)
        chosen_on = EvaluationSplit(
            "val", {name: task.while_training() for name, task in tasks.items()}, Loader(validation, settings)
        )
    return Session(
        fabric=fabric,
        tasks=tasks,
        model=model,
        last_layer=model.last_shared_layer(),
        balancer=balancer,
        optimizer=optimizer,
        clip=settings.clip,
        schedule=schedules.create(settings, optimizer, len(train_loader)),
        train_loader=train_loader,
        further_loader=further_loader,
        chosen_on=chosen_on,
        test=test,
        input=train.input,
        probe=_probe(settings, directory),
        feature_distance=_feature_distance(config, directory),
    )


def build_network(config: RunConfig, pretrained: bool | str) -> MultiTaskModel:
    """Return the network of a run, with random or pretrained weights.

    Convolutions keep channels last in memory. A training step then takes 0.8 to 0.9 of the time; a step of a
    transformer takes as long as before (`benchmarks/architectures.py`).
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
    """Return the transform that normalises images for the network; it does nothing if the input is no image."""
    statistics = data.dataset_class(config.data.name).statistics
    return transforms.Compose(() if statistics is None else (transforms.Normalize(*statistics),))


def open_split(config: RunConfig, split: str, transform: Transform) -> Dataset:
    """Open a split of the dataset of a run."""
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


def _feature_distance(config: RunConfig, directory: Path | None) -> FeatureDistance | None:
    probe = config.training.probe
    # Single-task networks are the reference.
    if probe is None or not probe.feature_distance or len(config.tasks) < 2:
        return None
    return FeatureDistance(every=probe.every, path=None if directory is None else directory / DISTANCES)


def _fabric(settings: TrainingConfig) -> Fabric:
    try:
        return Fabric(accelerator=settings.accelerator, devices=1, precision=settings.precision)
    except RuntimeError as error:
        raise ValueError(
            "`training.accelerator` should be available on this machine, or `auto`. Found "
            f"`training.accelerator = {settings.accelerator!r}`: {error}"
        ) from error


def _optimizer(settings: TrainingConfig, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    kinds = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "sgd": partial(torch.optim.SGD, momentum=settings.momentum),
    }
    return kinds[settings.optimizer](parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
