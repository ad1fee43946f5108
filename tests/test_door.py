"""Classes of a user, without touching the package: by `import:` in a recipe, by `module:Class`, by entry points."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from equipoise import cli, models
from equipoise.config import ConfigError, Recipe, load

MODULE = '''
"""One of each thing that a recipe can name."""

import dataclasses
import os

import torch
import torchmetrics
from torch import nn

import equipoise
from equipoise.data import Dataset
from equipoise.models import MultiTaskModel, Outputs
from equipoise.models import decoders
from equipoise.studies.run.executors.local import Local
from equipoise.studies.search.strategies import Strategy
from equipoise.tasks.depth import Depth


@equipoise.register
class Halves(equipoise.Uniform):
    info = dataclasses.replace(equipoise.Uniform.info, name="halves", title="Halves")

    def weigh(self, inputs):
        return torch.full_like(inputs.losses, 0.5)


class WorstPixel(torchmetrics.Metric):
    higher_is_better = False

    def __init__(self):
        super().__init__()
        self.add_state("worst", torch.tensor(0.0), dist_reduce_fx="max")

    def update(self, prediction, target):
        self.worst = torch.maximum(self.worst, (prediction - target).abs().max())

    def compute(self):
        return self.worst


@equipoise.register("height")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Height(Depth):
    """A task with its own loss and metric."""

    kind = "height"
    metric = "worst"

    def loss(self, prediction, target):
        return (prediction - target).square().mean()

    def metrics(self):
        return {"worst": WorstPixel()}


@equipoise.register("blobs")
class Blobs(Dataset):
    name = "blobs"
    splits = ("train", "val", "test")
    source = "nowhere"
    decodes = False

    def __init__(self, root=None, *, split="train", tasks=None, transform=None, samples: int = 4):
        self.samples = samples
        super().__init__(root or ".", split=split, tasks=tasks, transform=transform)

    @classmethod
    def all_tasks(cls, root=None, options=None):
        return (Height(name="height"), equipoise.tasks.create("depth", name="depth"))

    @classmethod
    def fingerprint(cls, root=None, options=None):
        return f"blobs {options}"

    def identify(self):
        return [f"{self.split}-{number}" for number in range(self.samples)]

    def file(self, identifier, key):
        return self.root / identifier

    def read(self, identifier, key):
        generator = torch.Generator().manual_seed(sum(map(ord, identifier)))
        image = torch.randint(256, (3, 16, 16), dtype=torch.uint8, generator=generator)
        return image if key == "image" else 1 + image[:1].float() / 255


@equipoise.register("dot")
class Dot(decoders.Decoder):
    def __init__(self, channels, outputs, *, scale: float = 1.0):
        super().__init__(channels, outputs)
        self.layer, self.scale = nn.Conv2d(channels[-1], outputs, 1), scale

    def forward(self, features):
        return self.layer(features[-1]) * self.scale


@equipoise.register("net")
class Net(MultiTaskModel):
    default_backbone = None

    def __init__(self, tasks, *, width: int = 4, decoder: str = "dot"):
        super().__init__(tasks)
        self.trunk = nn.Conv2d(3, width, 3, padding=1)
        for task, output in self.outputs.items():
            self.decoders[task] = decoders.for_task(output, decoder, [width])

    def forward(self, images, adapt=lambda task, features: features):
        shared = [self.trunk(images).relu()]
        return Outputs({task: head(list(adapt(task, shared))) for task, head in self.decoders.items()}, shared)

    def last_shared_layer(self):
        return self.trunk


@equipoise.register("noted")
class Noted(Local):
    def __init__(self, *, note: str):
        self.note = note

    def open(self, root, jobs):
        with open(self.note, "w") as note:
            note.write(str(jobs))
        return super().open(root, jobs)


@equipoise.register("two_points")
class TwoPoints(Strategy):
    def search(self, problem):
        problem.evaluate([dict.fromkeys(self.tasks, weight) for weight in (1.0, 2.0)])

    def expected(self):
        return 2
'''

RECIPE = """
name: mine
import: [parts.py]
data: {name: blobs}
tasks: [height, depth]
model: {architecture: net, width: 5}
training: {epochs: 2, batch_size: 2, learning_rate: 1.0e-3, accelerator: cpu, probe: {every: 1}}
balancers: [halves]
"""


def equipoise(*arguments, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Call the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "equipoise.cli", *map(str, arguments)],
        cwd=cwd, env=os.environ | {"COLUMNS": "300"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path) -> Path:
    """A user's folder with a recipe and a module, and an empty folder `elsewhere` beside it."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "parts.py").write_text(MODULE)
    (own / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "elsewhere").mkdir()
    return own


@pytest.mark.slow
def test_one_of_everything_in_a_users_module_works_in_a_recipe(folder, tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    # The path in the recipe starts from the recipe, wherever the command is called.
    done = equipoise(
        "bench", folder / "recipe.yaml", "-o", out, "--jobs", "2", "--executor", "noted", "--option", "note=note.txt",
        cwd=elsewhere,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (elsewhere / "note.txt").read_text() == "2"
    results = json.loads((out / "mine" / "results.json").read_text())
    assert [entry["balancer"] for entry in results] == ["single", "single", "halves"]
    assert set(results[2]["metrics"]) >= {"height.worst", "depth.rmse"}
    assert results[2]["weights"] == {"height": 0.5, "depth": 0.5}

    searched = equipoise("search", folder / "recipe.yaml", "-o", out, "--strategy", "two_points", cwd=elsewhere)
    assert searched.returncode == 0, searched.stderr
    trials = json.loads((out / "mine" / "search-two_points.json").read_text())["trials"]
    assert [trial["status"] for trial in trials] == ["finished", "finished"]

    # A study explains itself: what reads it later needs neither the module nor its place.
    shutil.rmtree(folder)
    report = equipoise("report", out / "mine", cwd=elsewhere)
    assert report.returncode == 0, report.stderr
    for told in (out / "mine", next((out / "runs").glob("*halves*"))):
        diagnosis = equipoise("diagnose", told, cwd=tmp_path)
        assert diagnosis.returncode == 0, diagnosis.stderr


@pytest.mark.slow
def test_classes_are_named_without_being_registered(folder, tmp_path):
    """As `module:Class`, from a package in the working directory; the workers of Python find it too."""
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "parts.py").write_text(MODULE.replace('@equipoise.register("net")\n', ""))
    done = equipoise(
        "bench", folder / "recipe.yaml", "import=[]", "data.name=my_package.parts:Blobs", "tasks=[height]",
        "model={architecture: 'my_package.parts:Net', decoder: 'my_package.parts:Dot'}",
        "balancers=['my_package.parts:Halves']", "--executor", "my_package.parts:Noted", "--option", "note=note.txt",
        "--jobs", "2", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {":" in path.name for path in (tmp_path / "studies" / "runs").iterdir()} == {False}
    saved = yaml.safe_load((tmp_path / "studies" / "mine" / "study.yaml").read_text())
    assert [(entry["name"], entry["origin"]) for entry in saved["import"]] == [("my_package.parts", str(tmp_path))]
    # From another working directory the package is found where it was.
    report = equipoise("report", tmp_path / "studies" / "mine", cwd=tmp_path / "elsewhere")
    assert report.returncode == 0, report.stderr


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("@equipoise.register('open')\nclass Open(Strategy): ...\n", "should define `expected`, `search`"),
        ("@equipoise.register('shared')\nclass Mine(Net): ...\n", "The architecture name `shared` is taken by"),
        ("@equipoise.register\nclass Mine: ...\n", "should decorate a class under one of the bases"),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("def (\n", "SyntaxError"),
        ("import no_such_package\n", "No module named 'no_such_package'"),
    ],
)
def test_what_is_wrong_with_a_module_is_one_line(folder, monkeypatch, capsys, addition, message):
    with (folder / "parts.py").open("a") as file:
        file.write(addition)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["equipoise", "bench", "recipe.yaml", "--dry-run"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    number = MODULE.count("\n") + 1
    assert f"`{folder / 'parts.py'}`, line {number}," in line or f"line {number + 1}," in line
    # Nothing of a module that failed is left.
    assert "net" not in models.available()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("import=[nowhere.py]", "`import` should list Python files that can be read. Found `"),
        ("import=[no_such_package.parts]", "There is no module `no_such_package.parts`"),
        ("import=[a/b]", "which end in `.py`"),
        ("import=7", "`import` should list Python files and names of modules"),
        ("model.architecture=no_such_package:Net", "There is no module `no_such_package`"),
        ("model.architecture=parts:Nothing", "should be a name, or `module:Class`"),
        ("imports=[parts.py]", "did you mean `import`"),
    ],
)
def test_what_is_wrong_with_the_key_is_named(folder, monkeypatch, override, message):
    # Nothing is registered in this process.
    (folder / "parts.py").write_text("")
    monkeypatch.chdir(folder.parent)
    with pytest.raises(ConfigError) as caught:
        load(folder / "recipe.yaml", Recipe, [override])
    assert message in str(caught.value)


def test_installed_distributions_add_by_entry_points(tmp_path):
    """A method by its class, others by a module that registers them; a broken one is left out with a warning."""
    (tmp_path / "their_package.py").write_text(MODULE.replace("@equipoise.register\nclass Halves", "class Halves"))
    information = tmp_path / "their_package-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[equipoise.methods]\nhalves = their_package:Halves\nbroken = their_package:Nothing\nnet = their_package:Net\n"
        "[equipoise.architectures]\nall = their_package\n"
    )
    code = (
        "import equipoise, equipoise.models as models; print(equipoise.create('halves').info.title);"
        "print('broken' in equipoise.available(), 'net' in models.available())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
    )  # fmt: skip
    assert done.stdout.split() == ["Halves", "False", "True"], done.stderr
    assert "The entry point `broken` of `their-package` in the group `equipoise.methods` is left out" in done.stderr
    assert "it should name a class under `equipoise.balancing" in done.stderr
