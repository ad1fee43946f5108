"""Every recipe can be used: it loads and plans, its networks can be built, and its published rows are there."""

from pathlib import Path

import pytest
import torch

from equipoise import models, studies
from equipoise.config import SINGLE, Recipe, RunConfig, load
from equipoise.studies.results.published import read
from equipoise.training.selection import main_metrics

FOLDER = Path(__file__).parents[1] / "recipes"
# Those directly in the folder are loaded in test_config.py.
RECIPES = sorted(FOLDER.glob("paper_*/**/*.yaml"))
built: set[str] = set()


def build(config: RunConfig) -> None:
    """Build the network of a run without data, once for all recipes that have it."""
    outputs = {name: task.output for name, task in config.data.tasks(config.tasks).items()}
    key = repr((config.model.model_dump(exclude={"pretrained"}), outputs))
    if key not in built:
        built.add(key)
        with torch.device("meta"):
            model = models.create(
                config.model.architecture, tasks=outputs, backbone=config.model.backbone, **config.model.options
            )
        assert list(model.tasks) == list(config.tasks)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(FOLDER).with_suffix("")))
def test_every_recipe_of_a_paper_can_be_used(path):
    text = path.read_text(encoding="utf-8")
    needs_directory = "Give the directory" in text
    recipe = load(path, Recipe, ["data.root=/nowhere"] if needs_directory else [])
    assert recipe.name == "_".join(path.relative_to(FOLDER).with_suffix("").parts)
    assert needs_directory == (recipe.data.name != "rooms")
    for variant in recipe.variants or (None,):
        of_variant = recipe if variant is None else recipe.variant(variant)
        # A grid leads to many runs, of which the first point stands for all.
        first = of_variant.at({key: values[0] for key, values in of_variant.grid.items()})
        simple = tuple(balancer.model_copy(update={"grid": {}}) for balancer in of_variant.balancers)
        planned = studies.plan(first.model_copy(update={"seeds": recipe.seeds[:1], "balancers": simple}))
        known = sum(balancer.fixed_from is None for balancer in simple)
        assert len(planned) == len(of_variant.tasks) + known
        build(planned[-1].config)
    directions = main_metrics(recipe.data.tasks(recipe.tasks))
    titles = {SINGLE, *(balancer.title for balancer in recipe.balancers)}
    for label, published in recipe.published_rows.items():
        of_paper = read(published, directions).keys() - {SINGLE}
        # Tables VI and VII leave uniform out, which the recipes add.
        assert len(of_paper & titles) >= 2 or of_paper & titles == {"uniform"}, label


def test_all_tables_of_the_papers_have_a_recipe():
    tables = {
        path.name.removesuffix(".csv")
        for path in (Path(studies.__file__).parent / "results" / "published_tables").glob("*.csv")
    }
    texts = [path.read_text(encoding="utf-8") for path in RECIPES if "mini" not in path.parts]
    assert {table for table in tables if any(table in text for text in texts)} == tables


@pytest.mark.parametrize("paper", ["paper_one", "paper_two"])
def test_every_miniature_stands_for_a_recipe_of_full_size(paper):
    full = [path.stem for path in (FOLDER / paper).glob("*.yaml")]
    assert all(any(of_full.startswith(path.stem) for of_full in full) for path in (FOLDER / paper / "mini").glob("*"))


def small(**changes) -> Recipe:
    content = {
        "name": "small",
        "data": {"name": "rooms"},
        "tasks": ["seg", "depth"],
        "model": {"backbone": "test_resnet", "decoder": "conv", "output_stride": 8},
        "balancers": ["uniform", "avgnorm"],
    }
    return Recipe.model_validate(content | changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 4),
        ({"seeds": [0, 1, 2]}, 12),
        # Three rates with one seed, of which the best runs with two more.
        ({"grid": {"training.learning_rate": [1, 2, 3]}, "seeds": [0, 1, 2]}, 4 * 5),
        # The trials of seed 5 need single-task networks of that seed.
        ({"balancers": ["uniform", {"name": "cagrad", "grid": {"c": [0.2, 0.8]}}], "grid_seeds": [5]}, 2 + 2 + 1 + 3),
        ({"balancers": ["uniform", {"fixed_from": "uniform"}], "seeds": [0, 1]}, 8),
        ({"variants": [{"label": "both"}, {"label": "one", "tasks": ["seg"]}]}, 4 + 3),
    ],
)
def test_runs_are_counted_before_they_are_known(changes, expected):
    recipe = small(**changes)
    assert studies.count_runs(recipe) == expected
    assert len({(run.variant, run.key, run.title) for run in studies.plan(recipe)}) <= expected
