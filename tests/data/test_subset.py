"""Less training data on purpose."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise import config, data

NAMES = [f"scene_{scene}/{scan:03d}" for scene in range(7) for scan in range(5 + 3 * scene)]
amounts = st.one_of(st.integers(1, 7), st.floats(0.01, 1.0))


def scene(name: str) -> str:
    return name.split("/")[0]


def choose(**options: int | float) -> list[str]:
    return data.Subset(**options).choose(NAMES, scene)  # type: ignore[arg-type]


@given(scans=amounts, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_scans_are_taken_from_every_scene(scans: float, seed: int) -> None:
    kept, every = Counter(map(scene, choose(scans=scans, seed=seed))), Counter(map(scene, NAMES))
    for name, count in every.items():
        assert kept[name] == (min(scans, count) if isinstance(scans, int) else max(1, round(scans * count)))


@given(scenes=amounts, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_scenes_are_kept_whole(scenes: float, seed: int) -> None:
    kept = choose(scenes=scenes, seed=seed)
    chosen = set(map(scene, kept))
    assert len(chosen) == (scenes if isinstance(scenes, int) else max(1, round(scenes * 7)))
    assert kept == [name for name in NAMES if scene(name) in chosen]


@given(
    pair=st.one_of(*(st.lists(kind, min_size=2, max_size=2) for kind in (st.integers(1, 7), st.floats(0.01, 1.0)))),
    seed=st.integers(0, 99),
    key=st.sampled_from(["scans", "scenes"]),
)
@settings(deadline=None, max_examples=60)
def test_the_larger_subset_holds_the_smaller(pair: list[float], seed: int, key: str) -> None:
    smaller, larger = (set(choose(**{key: amount, "seed": seed})) for amount in sorted(pair))
    assert smaller <= larger


def test_seeds_choose_differently_and_repeatably() -> None:
    chosen = [tuple(choose(scenes=2, scans=3, seed=seed)) for seed in range(20)]
    assert chosen == [tuple(choose(scenes=2, scans=3, seed=seed)) for seed in range(20)]
    assert len(set(chosen)) > 10
    assert all(len(names) == 6 and len(set(map(scene, names))) == 2 for names in chosen)


def test_the_choice_does_not_depend_on_the_order_of_the_names() -> None:
    subset = data.Subset(scans=0.3, scenes=0.5, seed=4)
    assert set(subset.choose(NAMES[::-1], scene)) == set(subset.choose(NAMES, scene))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "how many `scans` of each scene"),
        ({"scans": 0}, "`scans` should be a whole number from 1, or a share.* Found `scans = 0`"),
        ({"scans": 1.5}, "Found `scans = 1.5`"),
        ({"scenes": -0.5}, "Found `scenes = -0.5`"),
        ({"scenes": float("nan")}, "Found `scenes = nan`"),
        ({"scenes": 8}, "`scenes` should be at most 7"),
    ],
)
def test_wrong_amounts_are_named(options: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        choose(**options)


def test_training_data_alone_gets_less(generated_rooms: Path) -> None:
    subset = data.Subset(scenes=1, scans=2)
    lengths = {
        split: len(data.create("rooms", root=generated_rooms, split=split, subset=subset))
        for split in ("train", "val", "test")
    }
    assert lengths == {"train": 2, "val": 3, "test": 3}


def test_a_dataset_without_scenes_says_so(nyud_tree: Path) -> None:
    with pytest.raises(ValueError, match=r"`subset` chooses among scenes, which the dataset 'nyud_mini' does not have"):
        data.create("nyud_mini", root=nyud_tree, subset=data.Subset(scans=0.5))


def recipe(**changes: object) -> config.RunConfig:
    content = {"data": {"name": "rooms", **changes}, "tasks": ["seg", "depth"], "balancer": "uniform"}
    return config.parse(content, config.RunConfig, "recipe")


def test_recipes_say_which_labels_and_how_much() -> None:
    run = recipe(corrupt={"strength": {"depth": 0.2}}, subset={"scans": 12, "seed": 5})
    assert run.data.corrupt == data.LabelNoise(strength={"depth": 0.2})
    assert run.data.subset == data.Subset(scans=12, seed=5)
    # What is written beside a run can be read again.
    assert config.RunConfig.model_validate(run.model_dump(mode="json")) == run


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"corrupt": {"sead": 1}}, "data.corrupt.sead"),
        ({"corrupt": {"strength": {"dept": 1}}}, "`corrupt.strength` should be one of .* Did you mean `depth`"),
        ({"subset": {"scans": 0}}, "Found `scans = 0`"),
        ({"subset": {"scens": 1, "scans": 1}}, "data.subset.scens"),
    ],
)
def test_wrong_recipes_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(config.ConfigError, match=words):
        recipe(**changes)
