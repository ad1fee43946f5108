from pathlib import Path

import pytest
import torch
import yaml
from pydantic import ValidationError

from equipoise import data
from equipoise.config import AugmentationConfig, ConfigError, Recipe, load
from equipoise.data.transforms import RandomRotation
from equipoise.studies import plan

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
QUICKSTART = RECIPES[0].parent / "quickstart.yaml"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_repository_is_valid(path):
    assert load(path, Recipe).name == path.stem


def test_overrides_reach_nested_keys_lists_and_bare_names():
    recipe = load(
        QUICKSTART,
        Recipe,
        [
            "training.epochs=3",
            "data.scenes=4",
            "balancers.1.weights.edge=7",
            "balancers.2.every=5",
            "training.augmentation.flip=false",
        ],
    )
    assert recipe.training.epochs == 3
    assert recipe.data.options["scenes"] == 4
    assert recipe.balancers[1].options["weights"]["edge"] == 7
    assert recipe.balancers[2].name == "avgnorm"
    assert recipe.balancers[2].options == {"every": 5}
    assert recipe.training.augmentation.flip is False


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", "did you mean `training.epochs`"),
        ("epochs=3", "did you mean `training.epochs`"),
        ("trainng.epochs=3", "did you mean `training`"),
        ("data.scnes=3", "dataset `rooms` takes the options"),
        ("data.name=romms", "Did you mean `rooms`"),
        ("model.architecture=shard", "Did you mean `shared`"),
        ("model.decodr=conv", "Did you mean `decoder`"),
        ("balancers.2.evry=3", "Did you mean `every`"),
        ("balancers.2=avgnrm", "Did you mean `avgnorm`"),
        ("balancers.2.every=0", "`every` should be at least 1. Found `every = 0`"),
        ("training.epochs=many", "training.epochs = 'many'"),
        ("training.epochs=0", "training.epochs = 0"),
        ("training.learning_rate=-1", "training.learning_rate = -1"),
        ("tasks=[seg, dpeth]", "Did you mean `depth`"),
        ("tasks=[seg, seg]", "each of `tasks` should occur once"),
        ("balancers=[uniform, uniform]", "different `label`s"),
        ("balancers=[fixed]", "needs `weights`"),
        ("balancers=[{name: fixed, weights: {seg: 1}}]", "also for depth, normals, edge"),
        ("training.augmentation.scale=[0.5, 2]", "`scale` needs `size`"),
        ("balancers.9.every=1", "`balancers` has 3 entries"),
        ("data.scnes=3", "Did you mean `scenes`"),
        ("data.scenes=many", "Found `scenes = 'many'`"),
        ("model.output_stride=wide", "Found `output_stride = 'wide'`"),
        ("balancers.2.every=often", "Found `every = 'often'`"),
        ("balancers.2.nonfinite=stop", "Found `nonfinite = 'stop'`"),
        ("balancers.1.weights=7", "Found `weights = 7`"),
        ("balancers.1.label=single", "called `single`"),
        ("balancers.1.label=uniform", "different `label`s"),
        ("tasks=seg", "`tasks`: input should be a valid list. Found `tasks = 'seg'`"),
        ("tasks=[]", "`tasks`"),
        ("seeds=[0, 0]", "each of `seeds` should occur once"),
        ("seeds=[-1]", "seeds.0 = -1"),
        ("training=5", "`training`: should be a mapping"),
        ("training.learning_rate=.nan", "training.learning_rate"),
        ("training.learning_rate=.inf", "training.learning_rate"),
        ("training.optimizer=adagrad", "training.optimizer = 'adagrad'"),
        ("training.accelerator=gpus", "training.accelerator = 'gpus'"),
        ("training.augmentation={scale: [2, 1], size: [8, 8]}", "0 < smallest <= largest"),
        ("training.augmentation.size=[0, 8]", "`size` should be"),
        ("training.augmentation.recipe=T", "`recipe = 'T'` needs `size`"),
        ("training.augmentation={recipe: S, size: [8, 8]}", "`recipe` should be one of T, R_nyud, R_pascal"),
        (
            "training.augmentation={recipe: T, size: [8, 8], colour: true}",
            "leave `rotate`, `flip`, `scale` and `colour` out",
        ),
        ("training.augmentation.rotate=200", "augmentation.rotate = 200"),
        ("training.augmentation={recipe: T, size: [8, 8], rotate: 10}", "leave `rotate`"),
        ("name=../elsewhere", "`name`"),
        ("protocol=test", "protocol = 'test'"),
        ("training.epochs", "key.sub=value"),
        ("training.epochs=[", "not YAML"),
        ("name.sub=1", "`name` has no keys of its own"),
    ],
)
def test_faults_are_named_with_the_fix(override, message):
    with pytest.raises(ConfigError) as caught:
        load(QUICKSTART, Recipe, [override])
    assert message in str(caught.value)


@pytest.mark.parametrize("content", ["- a list\n", "a: [\n", "", "\x00"])
def test_files_that_are_no_configuration(tmp_path, content):
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"recipe\.yaml"):
        load(path, Recipe)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.yaml", Recipe)


def test_a_missing_key_is_named(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: a\ntasks: [seg]\nbalancers: [uniform]\n")
    with pytest.raises(ConfigError, match="`data` is missing"):
        load(path, Recipe)


def test_options_become_what_their_class_asks_for():
    # YAML takes 1e-1 for a word.
    recipe = load(QUICKSTART, Recipe, ["balancers.2.ema=1e-1", "training.learning_rate=1e-2", "data.root=somewhere"])
    assert recipe.balancers[2].options == {"ema": 0.1}
    assert recipe.training.learning_rate == 0.01
    assert recipe.data.root == str(Path("somewhere").absolute())


def test_nothing_changes_once_it_is_read():
    recipe = load(QUICKSTART, Recipe)
    sections = [recipe, recipe.data, recipe.model, recipe.training, recipe.training.augmentation, recipe.balancers[0]]
    for section in sections:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, next(iter(type(section).model_fields)), "changed")


@pytest.mark.parametrize("section", ["", "training.", "training.augmentation.", "training.probe."])
def test_unknown_keys_are_refused_in_every_section(section):
    with pytest.raises(ConfigError, match=f"unknown key `{section}nonsense`"):
        load(QUICKSTART, Recipe, [f"{section}nonsense=1"])


def test_what_is_imported_is_a_part_of_the_configuration_and_of_every_run(tmp_path):
    (tmp_path / "own.py").write_text("# nothing\n")
    recipe = load(QUICKSTART, Recipe, [f"import={tmp_path}/own.py"])
    (tmp_path / "own.py").unlink()
    (module,) = recipe.imports
    assert (module.name, module.origin, module.source) == ("own", str(tmp_path / "own.py"), "# nothing\n")
    saved = yaml.safe_load(yaml.safe_dump(recipe.model_dump(mode="json")))
    assert saved["import"] == [{"name": "own", "origin": module.origin, "source": "# nothing\n", "checksum": None}]
    assert Recipe.model_validate(saved) == recipe
    assert {run.config.imports for run in plan(recipe)} == {recipe.imports}
    assert "import" not in load(QUICKSTART, Recipe).model_dump(mode="json")
    other = tmp_path / "other" / "own.py"
    other.parent.mkdir()
    other.write_text("# else\n")
    with pytest.raises(ConfigError, match="should have different names"):
        load(QUICKSTART, Recipe, [f"import=[{other}, {{name: own, origin: x, source: ''}}]"])


def test_a_configuration_survives_its_own_yaml():
    recipe = load(QUICKSTART, Recipe)
    assert Recipe.model_validate(yaml.safe_load(yaml.safe_dump(recipe.model_dump(mode="json")))) == recipe


def test_a_rotation_comes_first_and_is_not_written_down_where_there_is_none():
    rotation, *others = AugmentationConfig(rotate=10).transforms()
    assert rotation == RandomRotation(10)
    assert len(others) == len(AugmentationConfig().transforms())
    # Runs of before there was the key are still known.
    assert "rotate" not in AugmentationConfig().model_dump()
    assert AugmentationConfig(rotate=10).model_dump()["rotate"] == 10


def test_augmentation_keeps_image_and_targets_together():
    torch.manual_seed(0)
    settings = AugmentationConfig(scale=(0.5, 2.0), size=(32, 48), colour=True)
    tasks = data.tasks("nyud_mini", ["seg", "depth"])
    for _ in range(5):
        sample = {"image": torch.rand(3, 40, 50), "seg": torch.ones(40, 50).long(), "depth": torch.ones(1, 40, 50)}
        for transform in settings.transforms():
            sample = transform(sample, tasks)
        assert {key: value.shape[-2:] for key, value in sample.items()} == dict.fromkeys(sample, (32, 48))
    assert AugmentationConfig(flip=False).transforms() == ()


def test_a_published_augmentation_says_what_evaluation_does_too():
    plain = AugmentationConfig(size=(8, 8))
    assert plain.evaluation_transforms() == ()
    published = AugmentationConfig(recipe="R_nyud", size=(8, 8))
    assert published.evaluation_transforms() == published.transforms()[-1:]
    assert AugmentationConfig.model_validate(published.model_dump()) == published
